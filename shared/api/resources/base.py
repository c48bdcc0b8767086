"""What every reply model is made of."""

from pydantic import BaseModel, ConfigDict


class Resource(BaseModel):
    model_config = ConfigDict(frozen=True, serialize_by_alias=True)
