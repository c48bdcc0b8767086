"""What every reply model is made of."""

from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    """Built into a validator when it is first used: a cold start pays for the models of its own requests only."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True, defer_build=True)
