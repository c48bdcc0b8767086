"""What a deployment of a Bicep file would ask of Azure Resource Manager."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tree_sitter import Node

from tests.support.bicep.azure import FUNCTIONS, Azure
from tests.support.bicep.syntax import Declaration, Template, code, declarations, parse, text, walk

_TYPES: Mapping[str, type | tuple[type, ...]] = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}


class BicepError(Exception):
    """The compiler, or Azure Resource Manager, would refuse this."""


@dataclass(frozen=True)
class Resource:
    """One resource of a deployment. `body` is what is sent: properties, sku, identity and so on."""

    type: str
    api_version: str
    name: str
    id: str
    body: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.body["properties"]
        return found


@dataclass
class Deployment:
    """What a template, with its modules, deploys and tells."""

    resources: list[Resource] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of_type(self, kind: str) -> list[Resource]:
        return [resource for resource in self.resources if resource.type == kind]

    def only(self, kind: str) -> Resource:
        (found,) = self.of_type(kind)
        return found


def parameter_file(path: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The values of a `.bicepparam` file; `environment` is what readEnvironmentVariable sees."""
    source = re.sub(r"(?m)^param (\w+) =", r"var \1 =", path.read_text(encoding="utf-8"))  # the grammar knows no other
    evaluation = _Evaluation(None, {}, Azure(environment=environment), Deployment())
    declared = declarations(parse(source.encode()))
    return {found.name: evaluation.value(found.node.named_children[-1]) for found in declared}


def deploy(path: Path, parameters: Mapping[str, Any], azure: Azure) -> Deployment:
    """Raises: BicepError."""
    deployment = Deployment()
    deployment.outputs = _deploy(Template(path), parameters, azure, deployment)
    return deployment


def _deploy(template: Template, given: Mapping[str, Any], azure: Azure, into: Deployment) -> dict[str, Any]:
    if template.errors:
        raise BicepError(f"syntax errors at {', '.join(template.errors)}")
    if unknown := set(given) - set(template.parameters()):
        raise BicepError(f"{template.path.name} has no parameter {', '.join(sorted(unknown))}")
    evaluation = _Evaluation(template, given, azure, into)
    for name in template.declarations:
        evaluation.named(name)
    return {name: evaluation.value(found.node.named_children[-1]) for name, found in template.outputs.items()}


class _Evaluation:
    """Works out the values of one file; each declaration once, whenever it is first needed."""

    def __init__(self, template: Template | None, given: Mapping[str, Any], azure: Azure, into: Deployment) -> None:
        self._template = template
        self._given = given
        self._azure = azure
        self._into = into
        self._known: dict[str, Any] = {}
        self._local: list[dict[str, Any]] = []

    def named(self, name: str) -> Any:
        for scope in reversed(self._local):
            if name in scope:
                return scope[name]
        if name not in self._known:
            declared = self._template.declarations.get(name) if self._template else None
            if declared is None:
                raise BicepError(f"nothing declares {name}")
            self._known[name] = _DECLARED[declared.kind](self, declared)
        return self._known[name]

    def value(self, node: Node) -> Any:
        evaluate = _EXPRESSIONS.get(node.type)
        if evaluate is None:
            raise BicepError(f"cannot evaluate {node.type}: {text(node)}")
        return evaluate(self, node)

    # --- declarations ---

    def _parameter(self, declared: Declaration) -> Any:
        children = declared.node.named_children
        if declared.name in self._given:
            value = self._given[declared.name]
        elif len(children) < 3:
            raise BicepError(f"the parameter {declared.name} is missing")
        else:
            value = self.value(children[2])
        kind = _TYPES[text(children[1])]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise BicepError(f"the parameter {declared.name} cannot be {value!r}")
        for decorator in declared.decorators:
            self._check(declared.name, value, decorator)
        return value

    def _check(self, name: str, value: Any, decorator: Node) -> None:
        function, arguments = decorator.named_children[0].named_children
        if text(function) in ("description", "secure"):
            return
        limit = self.value(arguments.named_children[0])
        fits: Mapping[str, Callable[[], bool]] = {
            "allowed": lambda: value in limit,
            "minLength": lambda: len(value) >= limit,
            "maxLength": lambda: len(value) <= limit,
            "minValue": lambda: value >= limit,
            "maxValue": lambda: value <= limit,
        }
        if not fits[text(function)]():
            raise BicepError(f"the parameter {name} cannot be {value!r}")

    def _variable(self, declared: Declaration) -> Any:
        return self.value(declared.node.named_children[1])

    def _module(self, declared: Declaration) -> Any:
        assert self._template is not None
        path = self._template.path.parent / self.value(declared.node.named_children[1])
        return self._each(declared.node.named_children[2], lambda body: self._deploy_module(path, body))

    def _deploy_module(self, path: Path, body: Mapping[str, Any]) -> Any:
        return {"outputs": _deploy(Template(path), body.get("params", {}), self._azure, self._into)}

    def _resource(self, declared: Declaration) -> Any:
        return self._declare(declared.node, None)

    def _declare(self, node: Node, parent: Mapping[str, Any] | None) -> Any:
        kind, _, version = self.value(node.named_children[1]).partition("@")
        exists = any(child.type == "existing" for child in node.children)
        body_node = node.named_children[2]
        nested = [child for child in walk(body_node) if child.type == "resource_declaration"]

        def place(body: dict[str, Any]) -> Any:
            resource = self._placed(kind, version, dict(body), parent, exists)
            inner = {text(child.named_children[0]): self._declare(child, resource) for child in nested}
            return resource | {"::": inner}

        return self._each(body_node, place)

    def _placed(
        self, kind: str, version: str, body: dict[str, Any], parent: Mapping[str, Any] | None, exists: bool
    ) -> dict[str, Any]:
        parent, scope = body.pop("parent", parent), body.pop("scope", None)
        short_name = body.pop("name")
        if parent is not None and "/" not in kind:
            kind, version = f"{parent['type']}/{kind}", version or parent["apiVersion"]
        name = f"{parent['name']}/{short_name}" if parent else short_name
        resource_id = self._azure.resource_id(kind, name, scope["id"] if scope else None)
        if not exists:
            self._into.resources.append(Resource(kind, version, name, resource_id, body))
        answer = self._azure.answer(kind, name)
        properties = {**body.get("properties", {}), **answer.get("properties", {})}
        return {
            **body,
            **answer,
            "properties": properties,
            "type": kind,
            "apiVersion": version,
            "name": name,
            "id": resource_id,
        }

    def _each(self, node: Node, place: Callable[[dict[str, Any]], Any]) -> Any:
        """A body, a body under a condition (None where it does not hold), or a body for each element of a list."""
        if node.type == "if_statement":
            condition, body = node.named_children
            return self._each(body, place) if self.value(condition) else None
        if node.type == "for_statement":
            return [self._each(node.named_children[-1], place) for _ in self._loop(node)]
        return place(self.value(node))

    def _loop(self, node: Node) -> Iterator[None]:
        first, source, _ = node.named_children
        names = [text(child) for child in first.named_children] or [text(first)]
        for index, element in enumerate(self.value(source)):
            self._local.append(dict(zip(names, (element, index), strict=False)))
            try:
                yield
            finally:
                self._local.pop()

    # --- expressions ---

    def _string(self, node: Node) -> str:
        return "".join(
            str(self.value(child.named_children[0])) if child.type == "interpolation" else _unescaped(text(child))
            for child in node.named_children
        )

    def _object(self, node: Node) -> dict[str, Any]:
        members = [child.named_children for child in node.named_children if child.type == "object_property"]
        return {
            self._string(pair[0]) if pair[0].type == "string" else text(pair[0]): self.value(pair[1])
            for pair in members
            if len(pair) == 2
        }

    def _array(self, node: Node) -> list[Any]:
        return [self.value(child) for child in code(node)]

    def _list_of(self, node: Node) -> list[Any]:
        return [self.value(node.named_children[-1]) for _ in self._loop(node)]

    def _member(self, node: Node) -> Any:
        owner, name = self.value(node.named_children[0]), text(node.named_children[1])
        if not isinstance(owner, Mapping) or name not in owner:
            raise BicepError(f"{text(node)} has no value")
        return owner[name]

    def _subscript(self, node: Node) -> Any:
        owner, index = (self.value(child) for child in node.named_children)
        try:
            return owner[index]
        except (LookupError, TypeError):
            raise BicepError(f"{text(node)} has no value") from None

    def _nested_resource(self, node: Node) -> Any:
        owner, name = node.named_children
        return self.value(owner)["::"][text(name)]

    def _call(self, node: Node) -> Any:
        function, *rest = node.named_children
        arguments = [self.value(child) for child in code(rest[0])] if rest else []
        name = text(function)
        if name == "loadTextContent":
            assert self._template is not None
            return str((self._template.path.parent / arguments[0]).read_text(encoding="utf-8"))
        if name not in FUNCTIONS:
            raise BicepError(f"the function {name} is not known here")
        return FUNCTIONS[name](self._azure, *arguments)

    def _ternary(self, node: Node) -> Any:
        condition, then, otherwise = node.named_children
        return self.value(then if self.value(condition) else otherwise)

    def _unary(self, node: Node) -> Any:
        value = self.value(node.named_children[0])
        return not value if text(node).startswith("!") else -value

    def _binary(self, node: Node) -> Any:
        left, right = node.named_children
        operator = next(text(child) for child in node.children if not child.is_named)
        operators: Mapping[str, Callable[[], Any]] = {
            "==": lambda: self.value(left) == self.value(right),
            "!=": lambda: self.value(left) != self.value(right),
            "&&": lambda: self.value(left) and self.value(right),
            "||": lambda: self.value(left) or self.value(right),
            "+": lambda: self.value(left) + self.value(right),
            "*": lambda: self.value(left) * self.value(right),
        }
        return operators[operator]()


_DECLARED: Mapping[str, Callable[[_Evaluation, Declaration], Any]] = {
    "parameter": _Evaluation._parameter,
    "variable": _Evaluation._variable,
    "resource": _Evaluation._resource,
    "module": _Evaluation._module,
}
_EXPRESSIONS: Mapping[str, Callable[[_Evaluation, Node], Any]] = {
    "string": _Evaluation._string,
    "object": _Evaluation._object,
    "array": _Evaluation._array,
    "for_statement": _Evaluation._list_of,
    "member_expression": _Evaluation._member,
    "subscript_expression": _Evaluation._subscript,
    "resource_expression": _Evaluation._nested_resource,
    "call_expression": _Evaluation._call,
    "ternary_expression": _Evaluation._ternary,
    "unary_expression": _Evaluation._unary,
    "binary_expression": _Evaluation._binary,
    "parenthesized_expression": lambda evaluation, node: evaluation.value(node.named_children[0]),
    "identifier": lambda evaluation, node: evaluation.named(text(node)),
    "number": lambda _, node: int(text(node)),
    "boolean": lambda _, node: text(node) == "true",
    "null": lambda *_: None,
}


def _unescaped(written: str) -> str:
    return {"\\'": "'", "\\\\": "\\", "\\n": "\n", "\\$": "$"}.get(written, written)
