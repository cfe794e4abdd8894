"""The ASGI application: a table of routes, errors as answers, and refusal of new work while draining."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from inference_service.api.http_io import ClientGoneError, Response, error_response, send_response
from inference_service.errors import NotFoundError, ServingError, TooLargeError, UnavailableError, WrongMethodError
from inference_service.event_log import log_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from inference_service.api.http_io import Header, Receive, Scope, Send

    Endpoint: TypeAlias = Callable[[Scope, Receive], Awaitable[Response]]

_CLOSE: Header = (b"connection", b"close")


class Application:
    """Routes are exact paths; a path's methods are a mapping, so a wrong method is told apart from a wrong path."""

    def __init__(
        self, routes: Mapping[str, Mapping[str, Endpoint]], model_name: str, on_first_answer: Callable[[], None]
    ) -> None:
        self._routes = routes
        self._model_name = model_name
        self.is_draining = False
        self._on_first_answer: Callable[[], None] | None = on_first_answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        try:
            response = await self._answer(scope, receive)
        except ClientGoneError:
            return
        except ServingError as error:
            response = _refusal(error)
        except Exception as error:  # noqa: BLE001  the outermost loop of a request: one answer, one line in the log
            log_event("request_failed", path=scope["path"], error=f"{type(error).__name__}: {error}")
            response = error_response(ServingError("internal error; the server's log has one line about it"))
        await send_response(send, response)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        path: str = scope["path"]
        methods = self._routes.get(path)
        if methods is None:
            raise self._not_found(path)
        endpoint = methods.get(scope["method"])
        if endpoint is None:
            allowed = ", ".join(methods)
            raise WrongMethodError(f"{path} takes {allowed}, not {scope['method']}", allowed)
        if self.is_draining and scope["method"] == "POST":
            raise UnavailableError("the server is draining; send the request to another one")
        response = await endpoint(scope, receive)
        if self._on_first_answer is not None and scope["method"] == "POST" and response.status == 200:
            self._on_first_answer()
            self._on_first_answer = None
        return response

    def _not_found(self, path: str) -> NotFoundError:
        parts = path.split("/")
        if path.startswith(("/v1/models/", "/v2/models/")) and parts[3].split(":")[0] != self._model_name:
            return NotFoundError(f"unknown model {parts[3].split(':')[0][:80]!r}; this server has {self._model_name!r}")
        return NotFoundError(f"unknown route {path[:200]!r}; see /v2 and /v2/models/{self._model_name}")


def _refusal(error: ServingError) -> Response:
    headers: tuple[Header, ...] = (_CLOSE,) if isinstance(error, UnavailableError | TooLargeError) else ()
    if isinstance(error, WrongMethodError):
        headers += ((b"allow", error.allowed.encode()),)
    return error_response(error, headers)
