"""The messages between the Functions host and its Python worker, as protobuf classes built at run time.

Only the messages and fields that azure-functions-runtime touches. The names are those of Microsoft's FunctionRpc.proto
(https://github.com/Azure/azure-functions-language-worker-protobuf); the numbers are ours, since nothing is sent.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, timestamp_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

PACKAGE = "AzureFunctionsRpcMessages"

# `X` a field, `[X]` a repeated one, `{X}` a map from strings to X, `X/group` one alternative of a oneof.
MESSAGES: Mapping[str, Mapping[str, str]] = {
    "TypedData": {
        "string": "string/data",
        "json": "string/data",
        "bytes": "bytes/data",
        "stream": "bytes/data",
        "http": "RpcHttp/data",
        "int": "int64/data",
        "double": "double/data",
    },
    "RpcHttp": {
        "method": "string",
        "url": "string",
        "headers": "{string}",
        "body": "TypedData",
        "params": "{string}",
        "status_code": "string",
        "query": "{string}",
        "enable_content_negotiation": "bool",
        "cookies": "[RpcHttpCookie]",
    },
    "RpcHttpCookie": {
        "name": "string",
        "value": "string",
        "domain": "NullableString",
        "path": "NullableString",
        "expires": "NullableTimestamp",
        "secure": "NullableBool",
        "http_only": "NullableBool",
        "same_site": "SameSite",
        "max_age": "NullableDouble",
    },
    "NullableString": {"value": "string"},
    "NullableBool": {"value": "bool"},
    "NullableDouble": {"value": "double"},
    "NullableTimestamp": {"value": ".google.protobuf.Timestamp"},
    "ParameterBinding": {"name": "string", "data": "TypedData/rpc_data"},
    "BindingInfo": {"type": "string", "direction": "Direction", "data_type": "DataType"},
    "RpcException": {"source": "string", "stack_trace": "string", "message": "string"},
    "StatusResult": {"status": "Status", "result": "string", "exception": "RpcException"},
    "RpcTraceContext": {"trace_parent": "string", "trace_state": "string", "attributes": "{string}"},
    "RetryContext": {"retry_count": "int32", "max_retry_count": "int32", "exception": "RpcException"},
    "RpcRetryOptions": {
        "max_retry_count": "int32",
        "delay_interval": ".google.protobuf.Duration",
        "minimum_interval": ".google.protobuf.Duration",
        "maximum_interval": ".google.protobuf.Duration",
        "retry_strategy": "RetryStrategy",
    },
    "RpcFunctionMetadata": {
        "name": "string",
        "function_id": "string",
        "managed_dependency_enabled": "bool",
        "directory": "string",
        "script_file": "string",
        "entry_point": "string",
        "is_proxy": "bool",
        "language": "string",
        "bindings": "{BindingInfo}",
        "raw_bindings": "[string]",
        "retry_options": "RpcRetryOptions",
        "properties": "{string}",
    },
    "WorkerMetadata": {
        "runtime_name": "string",
        "runtime_version": "string",
        "worker_version": "string",
        "worker_bitness": "string",
        "custom_properties": "{string}",
    },
    "WorkerInitRequest": {
        "host_version": "string",
        "capabilities": "{string}",
        "worker_directory": "string",
        "function_app_directory": "string",
    },
    "WorkerInitResponse": {
        "capabilities": "{string}",
        "worker_metadata": "WorkerMetadata",
        "result": "StatusResult",
    },
    "FunctionMetadataResponse": {
        "function_metadata_results": "[RpcFunctionMetadata]",
        "result": "StatusResult",
        "use_default_metadata_indexing": "bool",
    },
    "InvocationRequest": {
        "invocation_id": "string",
        "function_id": "string",
        "input_data": "[ParameterBinding]",
        "trigger_metadata": "{TypedData}",
        "trace_context": "RpcTraceContext",
        "retry_context": "RetryContext",
    },
    "InvocationResponse": {
        "invocation_id": "string",
        "output_data": "[ParameterBinding]",
        "return_value": "TypedData",
        "result": "StatusResult",
    },
    "StreamingMessage": {
        "request_id": "string",
        "worker_init_request": "WorkerInitRequest/content",
        "invocation_request": "InvocationRequest/content",
    },
}

# Enumerations by the message that they are declared in; the order gives the numbers.
ENUMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "RpcHttpCookie": {"SameSite": ("None", "Lax", "Strict", "ExplicitNone")},
    "BindingInfo": {"Direction": ("in", "out", "inout"), "DataType": ("undefined", "string", "binary", "stream")},
    "StatusResult": {"Status": ("Failure", "Success", "Cancelled")},
    "RpcRetryOptions": {"RetryStrategy": ("exponential_backoff", "fixed_delay")},
}

SCALARS: Mapping[str, Any] = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_SINT64,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
}


def protocol() -> SimpleNamespace:
    """A namespace with one protobuf class per message: what the worker library calls `protos`."""
    file = FileDescriptorProto(name="worker.proto", package=PACKAGE, syntax="proto3")
    file.dependency.extend(["google/protobuf/duration.proto", "google/protobuf/timestamp.proto"])
    for name, fields in MESSAGES.items():
        _declare(file.message_type.add(name=name), fields)
    pool = descriptor_pool.DescriptorPool()
    for known in (duration_pb2, timestamp_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    classes = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES
    }
    return SimpleNamespace(**classes)


def _declare(message: DescriptorProto, fields: Mapping[str, str]) -> None:
    for enum, values in ENUMS.get(message.name, {}).items():
        declared = message.enum_type.add(name=enum)
        for number, value in enumerate(values):
            declared.value.add(name=value, number=number)
    for number, (name, notation) in enumerate(fields.items(), start=1):
        field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
        kind, _, group = notation.partition("/")
        if group:
            if group not in [declared_group.name for declared_group in message.oneof_decl]:
                message.oneof_decl.add(name=group)
            field.oneof_index = [declared_group.name for declared_group in message.oneof_decl].index(group)
        if kind.startswith("{"):
            _declare_map(message, field, kind.strip("{}"))
        else:
            if kind.startswith("["):
                field.label = FieldDescriptorProto.LABEL_REPEATED
            _set_type(message, field, kind.strip("[]"))


def _declare_map(message: DescriptorProto, field: FieldDescriptorProto, kind: str) -> None:
    """A map is a repeated entry message with `key` and `value`, named after the field in camel case."""
    entry = message.nested_type.add(name="".join(part.title() for part in field.name.split("_")) + "Entry")
    entry.options.CopyFrom(descriptor_pb2.MessageOptions(map_entry=True))
    optional = FieldDescriptorProto.LABEL_OPTIONAL
    entry.field.add(name="key", number=1, label=optional, type=FieldDescriptorProto.TYPE_STRING)
    _set_type(message, entry.field.add(name="value", number=2, label=optional), kind)
    field.label, field.type = FieldDescriptorProto.LABEL_REPEATED, FieldDescriptorProto.TYPE_MESSAGE
    field.type_name = f".{PACKAGE}.{message.name}.{entry.name}"


def _set_type(message: DescriptorProto, field: FieldDescriptorProto, kind: str) -> None:
    if kind in SCALARS:
        field.type = SCALARS[kind]
    elif kind in ENUMS.get(message.name, {}):
        field.type, field.type_name = FieldDescriptorProto.TYPE_ENUM, f".{PACKAGE}.{message.name}.{kind}"
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = kind if kind.startswith(".") else f".{PACKAGE}.{kind}"
