"""The seam between the contract's exports and `run`. Only there in Wasm: `wit_world` is made when a component is."""

from collections.abc import Mapping
from typing import Any, NoReturn

from componentize_py_types import Err
from wit_world.imports import host, types

from . import Level, OutOfScope, Plugin, Refusal, run


class _Rolecall:
    def log(self, level: Level, message: str) -> None:
        host.log(host.Level[level.name], message)

    def lookup(self, table: str, key: str) -> Mapping[str, str] | None:
        row = host.lookup(table, key)
        return None if row is None else dict(row)


_ROLECALL = _Rolecall()


def _refuse(refusal: Refusal) -> NoReturn:
    raise Err(types.PluginError(refusal.code, refusal.path, refusal.message)) from None


def _fail(error: BaseException) -> NoReturn:
    """A fault is a bare trap; its words go to the tenant's plugin log first."""
    places = []
    at = error.__traceback__
    while at is not None:
        # Without the source's text, which `traceback` would read from files: there are none in the sandbox.
        places.append(f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno} in {at.tb_frame.f_code.co_name}")
        at = at.tb_next
    host.log(host.Level.ERROR, f"{type(error).__name__}: {error}, at {', from '.join(reversed(places))}")
    raise error


class Info:
    """The contract's `info`."""

    plugin: Plugin[Any]

    def describe(self) -> types.Description:
        return types.Description(self.plugin.name, self.plugin.version, list(self.plugin.reads))

    def validate_settings(self, settings: str) -> None:
        try:
            run.validate_settings(self.plugin, settings)
        except Refusal as refusal:
            _refuse(refusal)
        except Exception as error:
            _fail(error)


class Transform:
    """The contract's `transform`."""

    plugin: Plugin[Any]

    def transform_user(self, question: types.Question) -> types.Answer:
        try:
            answer = run.transform(self.plugin, question, _ROLECALL)
        except Refusal as refusal:
            _refuse(refusal)
        except Exception as error:
            _fail(error)
        if isinstance(answer, OutOfScope):
            return types.Answer_OutOfScope(answer.reason)
        provenance = [types.Provenance(attribute, source) for attribute, source in answer.provenance.items()]
        return types.Answer_Account(types.Account(answer.to_json(), provenance))


class Propose:
    """The contract's `propose`."""

    plugin: Plugin[Any]

    def propose_roles(self, question: types.Question, account: str) -> list[types.Proposal]:
        try:
            proposals = run.propose(self.plugin, question, account, _ROLECALL)
        except Refusal as refusal:
            _refuse(refusal)
        except Exception as error:
            _fail(error)
        return [types.Proposal(proposal.role, proposal.because) for proposal in proposals]
