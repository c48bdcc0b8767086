"""JSON Schemas (2020-12) of the models that validate requests and shape replies."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core.core_schema import WithDefaultSchema

from shared.api.resources.problem import Problem
from shared.api.routes import Route

Model = type[BaseModel]
Mode = Literal["validation", "serialization"]
REFERENCE = "#/components/schemas/{model}"


class _Concise(GenerateJsonSchema):
    """Without the titles that pydantic makes of names, and without `null` as the default of what is never null."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  (pydantic's signature)
        return False

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if found.get("default", ...) is None and "anyOf" not in found:
            del found["default"]
        return found


class Schemas:
    """The schemas of all models that some routes use.

    Attributes:
        components: by the model's name; the models of query strings are not among them.
    """

    def __init__(self, references: Mapping[Any, Any], definitions: dict[str, Any]) -> None:
        self._references = references
        self._definitions = definitions
        self.components: dict[str, Any] = {}

    @classmethod
    def of(cls, routes: Iterable[Route]) -> "Schemas":
        routes = list(routes)
        incoming = [model for route in routes for model in (route.body, route.query) if model is not None]
        outgoing: list[Model] = [Problem, *(route.reply for route in routes if route.reply is not None)]
        models: list[tuple[Model, Mode]] = [(model, "validation") for model in incoming]
        models += [(model, "serialization") for model in outgoing]
        references, found = models_json_schema(
            list(dict.fromkeys(models)), ref_template=REFERENCE, schema_generator=_Concise
        )
        definitions = {name: _untitled(schema) for name, schema in found["$defs"].items()}
        schemas = cls(references, definitions)
        queries = {schemas._name(route.query, "validation") for route in routes if route.query is not None}
        schemas.components = {name: definitions[name] for name in sorted(definitions) if name not in queries}
        return schemas

    def reference(self, model: Model, mode: Mode) -> dict[str, Any]:
        """`{"$ref": …}`."""
        return dict(self._references[model, mode])

    def properties(self, model: Model) -> dict[str, dict[str, Any]]:
        """The parameters of a query model: where `null` stands for absence, absence is all there is in a URL."""
        properties: dict[str, dict[str, Any]] = self._definitions[self._name(model, "validation")]["properties"]
        return {name: _without_null(schema) for name, schema in properties.items()}

    def examples(self, model: Model) -> list[dict[str, Any]]:
        """The bodies that a request model gives for examples."""
        examples: list[dict[str, Any]] = self._definitions[self._name(model, "validation")].get("examples", [])
        return examples

    def _name(self, model: Model, mode: Mode) -> str:
        reference: str = self._references[model, mode]["$ref"]
        return reference.rpartition("/")[2]


def _untitled(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {keyword: value for keyword, value in schema.items() if keyword != "title"}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    if {"type": "null"} not in schema.get("anyOf", ()):
        return schema
    some: dict[str, Any] = next(choice for choice in schema["anyOf"] if choice != {"type": "null"})
    rest = {keyword: value for keyword, value in schema.items() if keyword not in ("anyOf", "default")}
    return some | rest
