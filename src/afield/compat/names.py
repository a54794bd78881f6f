"""Published names and where they are here, as data. What is not here has a reason.

Places are written ``module:name``. Importing this loads none of them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["NOT_TAKEN", "PUBLISHED", "ROOTS", "reason"]

_CLIENT: Final = "afield.sdk.client:Client"
_EXECUTOR: Final = "afield.sdk.executor:Executor"
_FUTURE: Final = "afield.sdk.future:ComputeFuture"
_BATCH: Final = "afield.sdk.batch:Batch"
_SERIALIZER: Final = "afield.serialize:ComputeSerializer"
_PROTOCOL: Final = "afield.sdk.login_manager:LoginManagerProtocol"
_VERSION: Final = "afield.sdk.version:PUBLISHED_SDK_VERSION"


def _all_of(module: str, *names: str) -> dict[str, str]:
    return {name: f"{module}:{name}" for name in names}


_SHELL = _all_of("afield.shell", "ShellFunction", "ShellResult")
_MPI = _all_of("afield.shell", "MPIFunction")
_BATCHES = _all_of("afield.sdk.batch", "Batch", "UserRuntime") | {
    "create_user_runtime": "afield.sdk.batch:UserRuntime.here"
}
_LOGIN = _all_of(
    "afield.sdk.login_manager",
    "AuthorizerLoginManager",
    "ComputeScopeBuilder",
    "LoginManager",
    "LoginManagerProtocol",
)
_ERRORS = _all_of(
    "afield.errors",
    "ComputeError",
    "DeserializationError",
    "MaxResultSizeExceeded",
    "SerdeError",
    "SerializationError",
    "TaskExecutionFailed",
    "TaskPending",
    "VersionMismatch",
)
_CODE = _all_of(
    "afield.serialize",
    "AllCodeStrategies",
    "CombinedCode",
    "DEFAULT_STRATEGY_CODE",
    "DillCode",
    "DillCodeSource",
    "DillCodeTextInspect",
    "DillTextInspect",
    "PickleCode",
    "PureSourceDill",
    "PureSourceTextInspect",
)
_DATA = _all_of("afield.serialize", "AllDataStrategies", "DEFAULT_STRATEGY_DATA", "DillDataBase64", "JSONData")
_STRATEGY = _all_of("afield.serialize", "ComboSerializationStrategy", "SerializationStrategy")
_FACE = _all_of("afield.serialize", "AllowlistWildcard", "ComputeSerializer")
_FUNCX_ERRORS = _ERRORS | {
    "FuncxError": "afield.errors:ComputeError",
    "FuncxTaskExecutionFailed": "afield.errors:TaskExecutionFailed",
}

#: Module -> name -> place. Today's package, and the one of the first generation.
PUBLISHED: Final[dict[str, dict[str, str]]] = {
    "globus_compute_sdk": {"Client": _CLIENT, "Executor": _EXECUTOR, "__version__": _VERSION} | _SHELL | _MPI,
    "globus_compute_sdk.errors": _ERRORS,
    "globus_compute_sdk.errors.error_types": _ERRORS,
    "globus_compute_sdk.sdk": {},
    "globus_compute_sdk.sdk.asynchronous": {},
    "globus_compute_sdk.sdk.asynchronous.compute_future": {"ComputeFuture": _FUTURE},
    "globus_compute_sdk.sdk.batch": _BATCHES,
    "globus_compute_sdk.sdk.client": {"Client": _CLIENT},
    "globus_compute_sdk.sdk.executor": {"ComputeFuture": _FUTURE, "Executor": _EXECUTOR},
    "globus_compute_sdk.sdk.hardware_report": {"run_hardware_report": "afield.compat.hardware:run_hardware_report"},
    "globus_compute_sdk.sdk.login_manager": _LOGIN,
    "globus_compute_sdk.sdk.login_manager.manager": _LOGIN,
    "globus_compute_sdk.sdk.login_manager.protocol": {"LoginManagerProtocol": _PROTOCOL},
    "globus_compute_sdk.sdk.mpi_function": _MPI,
    "globus_compute_sdk.sdk.shell_function": _SHELL,
    "globus_compute_sdk.sdk.utils": {},
    "globus_compute_sdk.sdk.utils.uuid_like": _all_of(
        "afield.compat.generations", "UUID_LIKE_T", "as_optional_uuid", "as_uuid"
    ),
    "globus_compute_sdk.sdk.web_client": {"WebClient": "afield.sdk.web_client:WebClient"},
    "globus_compute_sdk.serialize": _FACE | _CODE | _DATA | _STRATEGY,
    "globus_compute_sdk.serialize.base": _STRATEGY
    | {"IDENTIFIER_LENGTH": "afield.serialize.strategy:IDENTIFIER_LENGTH"},
    "globus_compute_sdk.serialize.concretes": _CODE | _DATA,
    "globus_compute_sdk.serialize.facade": _FACE
    | {"DEFAULT_STRATEGY_CODE": _CODE["DEFAULT_STRATEGY_CODE"], "DEFAULT_STRATEGY_DATA": _DATA["DEFAULT_STRATEGY_DATA"]}
    | {"Strategylike": "afield.serialize.selection:Strategylike"},
    "globus_compute_sdk.serialize.utils": _all_of("afield.serialize.buffers", "pack_buffers", "unpack_buffers"),
    "globus_compute_sdk.version": {"__version__": _VERSION},
    "funcx": {"FuncXClient": _CLIENT, "FuncXExecutor": "afield.compat.generations:FuncXExecutor"},
    "funcx.errors": _FUNCX_ERRORS,
    "funcx.errors.error_types": _FUNCX_ERRORS,
    "funcx.sdk": {},
    "funcx.sdk.asynchronous": {},
    "funcx.sdk.asynchronous.funcx_future": {"FuncXFuture": _FUTURE},
    "funcx.sdk.batch": {"Batch": _BATCH},
    "funcx.sdk.client": {"FuncXClient": _CLIENT},
    "funcx.sdk.executor": {"FuncXExecutor": "afield.compat.generations:FuncXExecutor", "FuncXFuture": _FUTURE},
    "funcx.sdk.login_manager": _LOGIN,
    "funcx.sdk.login_manager.protocol": {"LoginManagerProtocol": _PROTOCOL},
    "funcx.sdk.web_client": {"FuncxWebClient": "afield.sdk.web_client:WebClient"},
    "funcx.serialize": {"FuncXSerializer": _SERIALIZER},
}

#: Distribution that brings it, by the first word of its names.
ROOTS: Final = {"globus_compute_sdk": "globus-compute-sdk", "funcx": "funcx"}

_INSIDE: Final = "part of how the published package works inside"
_HOSTED: Final = "the hosted service's login; Afield takes tokens, client credentials, and app= or authorizer= objects"

#: Modules, names of modules, and members of classes that Afield does not have, and why. A module stands for all in it.
NOT_TAKEN: Final[dict[str, str]] = {
    "funcx.sdk.container_spec": "containers are the endpoint's configuration",
    "globus_compute_sdk.errors.error_types.SERDE_TASK_EXECUTION_FAILED_HELP_MESSAGE": _INSIDE,
    "globus_compute_sdk.errors.error_types.TaskExecutionFailed.SERDE_REGEX": _INSIDE,
    "globus_compute_sdk.errors.error_types.TaskExecutionFailed.WORKER_LOST_REGEX": _INSIDE,
    "globus_compute_sdk.errors.error_types.WORKER_LOST_MESSAGE": _INSIDE,
    "globus_compute_sdk.sdk.asynchronous.compute_task": "nothing uses it there; a ComputeFuture can be awaited",
    "globus_compute_sdk.sdk.auth": _HOSTED,
    "globus_compute_sdk.sdk.batch.UUID_LIKE_T": "it is in globus_compute_sdk.sdk.utils.uuid_like",
    "globus_compute_sdk.sdk.client.Client.FUNCX_SDK_CLIENT_ID": _HOSTED,
    "globus_compute_sdk.sdk.client.Client.auth_client": _HOSTED,
    "globus_compute_sdk.sdk.client.FunctionRegistrationData": _INSIDE,
    "globus_compute_sdk.sdk.client.FunctionRegistrationMetadata": _INSIDE,
    "globus_compute_sdk.sdk.client.UUID_LIKE_T": "it is in globus_compute_sdk.sdk.utils.uuid_like",
    "globus_compute_sdk.sdk.compute_dir": "the directory is AFIELD_USER_DIR, else GLOBUS_COMPUTE_USER_DIR",
    "globus_compute_sdk.sdk.container_spec": "containers are the endpoint's configuration",
    "globus_compute_sdk.sdk.diagnostic": "the command is afield endpoint doctor",
    "globus_compute_sdk.sdk.executor.Strategylike": "it is in globus_compute_sdk.serialize.facade",
    "globus_compute_sdk.sdk.executor.UUID_LIKE_T": "it is in globus_compute_sdk.sdk.utils.uuid_like",
    "globus_compute_sdk.sdk.hardware_report": "Client.get_worker_hardware_details sends a report of its own",
    "globus_compute_sdk.sdk.shell_function.ShellFunction.execute_cmd_line": _INSIDE,
    "globus_compute_sdk.sdk.shell_function.ShellFunction.get_and_close_streams": _INSIDE,
    "globus_compute_sdk.sdk.shell_function.ShellFunction.get_snippet": _INSIDE,
    "globus_compute_sdk.sdk.shell_function.ShellFunction.open_std_fd": _INSIDE,
    "globus_compute_sdk.sdk.shell_function.ShellFunction.valid_function_name": _INSIDE,
    "globus_compute_sdk.sdk.utils.check_version": _INSIDE,
    "globus_compute_sdk.sdk.utils.chunk_by": _INSIDE,
    "globus_compute_sdk.sdk.utils.display_name": _INSIDE,
    "globus_compute_sdk.sdk.utils.gare": _HOSTED,
    "globus_compute_sdk.sdk.utils.get_env_details": _INSIDE,
    "globus_compute_sdk.sdk.utils.printing": _INSIDE,
    "globus_compute_sdk.sdk.utils.sample_function": "functions of a tutorial",
    "globus_compute_sdk.sdk.utils.simple_humanize": _INSIDE,
    "globus_compute_sdk.serialize.base.SerializationStrategy.get_cached_by_class": _INSIDE,
    "globus_compute_sdk.serialize.base.SerializationStrategy.get_cached_by_id": _INSIDE,
    "globus_compute_sdk.serialize.concretes.CombinedCode.get_multiple_payloads": _INSIDE,
    "globus_compute_sdk.serialize.concretes.SELECTABLE_CODE_STRATEGIES": _INSIDE,
    "globus_compute_sdk.serialize.concretes.SELECTABLE_DATA_STRATEGIES": _INSIDE,
    "globus_compute_sdk.serialize.concretes.SELECTABLE_STRATEGIES": _INSIDE,
    "globus_compute_sdk.serialize.facade.DeserializerAllowlist": _INSIDE,
    "globus_compute_sdk.serialize.facade.IDENTIFIER_LENGTH": "it is in globus_compute_sdk.serialize.base",
    "globus_compute_sdk.serialize.facade.SELECTABLE_STRATEGIES": _INSIDE,
    "globus_compute_sdk.serialize.facade.ValidatedStrategylike": _INSIDE,
    "globus_compute_sdk.serialize.facade.parse_allowlist": _INSIDE,
    "globus_compute_sdk.serialize.facade.validate_strategylike": _INSIDE,
    "globus_compute_sdk.version.compare_versions": _INSIDE,
}


def reason(name: str) -> str | None:
    """Why Afield has none of a published name; None: nobody has said."""
    while name:
        if name in NOT_TAKEN:
            return NOT_TAKEN[name]
        name = name.rpartition(".")[0]
    return None
