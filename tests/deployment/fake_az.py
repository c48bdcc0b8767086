"""`az` as far as infra/entra/setup.py calls it: signed in to a tenant that lives in a JSON file, recording each call.

What Graph refuses, it refuses: an unknown object, a second assignment of the same role, an object made a moment ago.
"""

import json
import os
import re
import sys
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any

STATE = Path(os.environ["FAKE_AZ_STATE"])


def main() -> None:
    state = json.loads(STATE.read_text())
    command = sys.argv[1:]
    state["calls"].append(command)
    try:
        reply = answer(state, command)
    except LookupError as refused:
        print(f"Bad Request({refused.args[0]})", file=sys.stderr)
        sys.exit(1)
    finally:
        STATE.write_text(json.dumps(state))
    if reply is not None:
        print(json.dumps(reply))


def answer(state: dict[str, Any], command: list[str]) -> dict[str, Any] | None:
    if command[:2] == ["account", "show"]:
        return {"tenantId": "the-tenant", "user": {"name": "ada@contoso.example"}}
    if command[:2] == ["cloud", "show"]:
        return {"endpoints": {"microsoftGraphResourceId": "https://graph.microsoft.com/"}}
    assert command[0] == "rest", command
    options = {name: value for name, value in pairwise(command) if name.startswith("--")}
    path = options["--url"].removeprefix("https://graph.microsoft.com/v1.0/")
    if options["--method"] == "get":
        return read(state, path, options.get("--url-parameters", ""))
    assert options["--headers"] == "Content-Type=application/json"
    body = json.loads(Path(options["--body"].removeprefix("@")).read_text())
    return write(state, options["--method"], path, body)


def read(state: dict[str, Any], path: str, query: str) -> dict[str, Any]:
    if path.startswith("directoryObjects/"):
        return {"@odata.type": "#microsoft.graph." + state["kinds"][path.partition("/")[2]]}
    if found := re.fullmatch(r"(user|group|servicePrincipal)s/([^/]+)/appRoleAssignments", path):
        resource = query.removeprefix("$filter=resourceId eq ")
        held = [each for each in state["assignments"] if each["principalId"] == found[2]]
        return {"value": [each for each in held if each["resourceId"] == resource]}
    wanted = re.fullmatch(r"\$filter=(\w+) eq '(.*)'", query)
    assert wanted is not None, query
    name = wanted[2].replace("''", "'")
    return {"value": [each for each in state[path] if each[wanted[1]] == name]}


def write(state: dict[str, Any], method: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
    if state["busy"]:
        state["busy"] -= 1
        raise LookupError("Request_ResourceNotFound: the resource does not exist")
    if method == "patch":
        collection, _, object_id = path.partition("/")
        (found,) = (each for each in state[collection] if each["id"] == object_id)
        found.update(body)
        return None
    if path.endswith("/appRoleAssignedTo"):
        if body in state["assignments"]:
            raise LookupError("Request_BadRequest: Permission being assigned already exists on the object")
        state["assignments"].append(body)
        return body
    made = {"id": str(uuid.uuid4()), **body}
    if path == "applications":
        made = {"appId": str(uuid.uuid4()), "identifierUris": [], **made}
        made["appRoles"] = [{"origin": "Application", **role} for role in made["appRoles"]]
    else:
        (application,) = (each for each in state["applications"] if each["appId"] == body["appId"])
        made["appRoles"] = application["appRoles"]
    state[path].append(made)
    return made


if __name__ == "__main__":
    main()
