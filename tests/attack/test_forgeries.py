"""Every forgery, against the validator and against the authentication of this API."""

import pytest

from shared.api.api_tokens import ApiTokens
from shared.api.authentication import Authenticator, Forbidden, Unauthenticated
from shared.api.permissions import Permission
from shared.directory.ledger import Ledger
from shared.directory.state import StateStore
from shared.directory.tables import TableStore
from shared.entra.tokens.claims import ValidToken
from shared.entra.tokens.errors import TokenRejected
from tests.attack.conftest import TENANT, Validators
from tests.attack.forger import World
from tests.attack.forgeries import FORGERIES, VALID, Forgery
from tests.attack.stopwatch import LONGEST, stopwatch

every_forgery = pytest.mark.parametrize("forgery", FORGERIES, ids=lambda forgery: forgery.id)


@pytest.fixture(scope="session")
def authenticator(tables: TableStore, validators: Validators) -> Authenticator:
    api_tokens = ApiTokens(Ledger(tables, TENANT), StateStore(tables, TENANT))
    return Authenticator(validators.api, api_tokens, frozenset())


@every_forgery
def test_the_validator_gives_the_right_answer_in_time(forgery: Forgery, world: World, validators: Validators) -> None:
    token = forgery.forge(world)
    with stopwatch() as spent:
        try:
            answer: str = VALID if isinstance(validators.validate.validate(token), ValidToken) else "?"
        except TokenRejected as rejected:
            answer = rejected.error

    assert answer == forgery.expected
    assert spent[0] < LONGEST


@every_forgery
def test_the_api_lets_in_whom_it_should(forgery: Forgery, world: World, authenticator: Authenticator) -> None:
    header = f"Bearer {forgery.forge(world)}"
    try:
        authenticator.authenticate([header]).require(Permission.READ)
        status = 200
    except (Unauthenticated, Forbidden) as refused:
        status = refused.status

    assert status == forgery.bearer
