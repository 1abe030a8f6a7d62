"""What missions are to do: requests, the plan file, and the plans that a backend makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from orchestrator_core.cleanup.entries import Kind
from orchestrator_core.cleanup.files import record
from orchestrator_core.errors import MissingFile, RequestError
from orchestrator_core.mission import plan_language, plan_selection
from orchestrator_core.mission.agent import MissionRequest
from orchestrator_core.mission.plan_addition import add_task
from orchestrator_core.mission.plan_writing import write_plan
from orchestrator_core.records import Plan, TaskState

if TYPE_CHECKING:
    from orchestrator_core.agents.choice import Backends
    from orchestrator_core.mission.agent import Backend
    from orchestrator_core.mission.plan_addition import AddedTask
    from orchestrator_core.mission.plan_document import PlanDocument
    from orchestrator_core.records import Mode
    from orchestrator_core.services import Services


class WrittenPlan(Struct, frozen=True):
    """A plan that was written to a file.

    Attributes:
        path: relative to the workspace.
        replaced: where the plan that stood there before was put; empty if there was none.
    """

    path: str
    plan: Plan
    replaced: str = ""


class MissionPlans:
    """The requests and plans of one workspace. Lives on the event loop.

    Args:
        services: of the workspace.
        backends: who plans.
    """

    def __init__(self, services: Services, backends: Backends) -> None:
        self._services = services
        self._engine = services.engine
        self._backends = backends

    def request(
        self,
        text: str,
        *,
        mode: Mode | None = None,
        backend: str | None = None,
        dry_run: bool = False,
    ) -> MissionRequest:
        """A request with the settings' defaults filled in.

        Raises:
            RequestError: there is no such backend, or it does not know the mode.
        """
        settings = self._engine.settings
        request = MissionRequest(
            text=text,
            mode=mode or settings.mode,
            backend=self._backends.chosen(backend or settings.backend, text),
            dry_run=dry_run,
        )
        self.backend_of(request)
        return request

    async def request_from_file(
        self, path: str, *, task_id: str = "", **choices: Any
    ) -> MissionRequest:
        """A request that carries out a plan file.

        Args:
            path: the file, relative to the workspace.
            task_id: only this task, done or not, and what it waits for that is not done yet.
            choices: see :meth:`request`.

        Raises:
            PlanError: the file has mistakes; each is named with line and column.
            RequestError: there is no such file or task, or nothing in it is left to do.
        """
        request = self.request("", **choices)
        try:
            parsed = await self._engine.pool.submit(self.read, path, backend=request.backend)
        except MissingFile as error:
            raise RequestError(
                f"there is no plan at {path}: write one (/plan makes it from a text)"
            ) from error
        if not (checked := parsed.checked_plan(path)).tasks:
            raise RequestError(f"{path} has no tasks")
        plan = plan_selection.to_be_done(checked, task_id)
        if all(task.state is TaskState.DONE for task in plan.tasks):
            raise RequestError(f"{path}: all tasks are done; untick what is to be done again")
        backend = choices.get("backend") or self._engine.settings.backend
        return MissionRequest(
            text=plan.title or path,
            plan=plan,
            plan_file=path,
            plan_text=parsed.text,
            mode=request.mode,
            backend=self._backends.for_plan(backend, plan),
            dry_run=request.dry_run,
        )

    def backend_of(self, request: MissionRequest) -> Backend:
        """Who carries a request out.

        Raises:
            RequestError: there is no such backend, or it does not know the mode.
        """
        backend = self._backends.get(request.backend)
        if request.mode not in backend.modes:
            known = ", ".join(backend.modes)
            raise RequestError(
                f"backend {backend.name} does not know mode {request.mode}: its tasks have one "
                f"possible result, and are as small as they get. It knows: {known}"
            )
        return backend

    async def lacking_model(self) -> str:
        """Why no backend takes a text that no verb understands; empty where one does."""
        return await self._engine.pool.submit(self._backends.lacking, self._engine.settings.backend)

    def exists(self) -> bool:
        """Whether the workspace has a plan file."""
        return (self._engine.workspace.root / self._engine.settings.plan_file).is_file()

    def read(
        self, path: str, text: str | None = None, *, backend: str | None = None
    ) -> PlanDocument:
        """A plan file as it is written, with what is wrong with it. Blocks; from any thread.

        Args:
            path: relative to the workspace.
            text: what it holds; read from the workspace where it is None.
            backend: whose planner says which steps can be carried out.

        Raises:
            MissingFile: there is no such file.
            WorkspaceError: it cannot be read.
        """
        text = self._engine.workspace.read(path).text if text is None else text
        name = self._backends.chosen(backend or self._engine.settings.backend, "")
        planner = self._backends.get(name).planner
        return plan_language.parse(text, check_step=planner.check_step)

    async def add_task(self, title: str, files: tuple[str, ...] = ()) -> AddedTask:
        """Add a task to the plan file that a person has still to write; see :func:`add_task`."""
        return await add_task(self._engine, self._engine.settings.plan_file, title, files)

    async def make(self, request: MissionRequest) -> Plan:
        """What a mission would do, without doing it.

        Raises:
            RequestError: the request cannot be carried out as written.
        """
        async with self._engine.concurrency.acquire(role="planner") as token:
            with token.kept():
                return await self.backend_of(request).planner.plan(request)

    async def make_for_mission(self, request: MissionRequest) -> Plan:
        """The same, if it is no larger than the plan of a mission may be."""
        plan = await self.make(request)
        limit = self._engine.settings.limits.tasks
        if len(plan.tasks) > limit:
            raise RequestError(
                f"the plan has {len(plan.tasks)} tasks, more than orchestrator.limits.tasks "
                f"({limit}) allows"
            )
        return plan

    async def write(self, request: MissionRequest) -> WrittenPlan:
        """Plan, and write the plan file; one that stands there is put into the archive."""
        plan = await self.make(request)
        services, text = self._services, plan_language.render(plan)
        kept = await write_plan(self._engine, text, services.places.project / "archive")
        for path in kept:
            await self._engine.pool.submit(record, services.manifest, path, Kind.HISTORY)
        root = self._engine.workspace.root
        replaced = kept[-1].relative_to(root).as_posix() if kept else ""
        return WrittenPlan(path=self._engine.settings.plan_file, plan=plan, replaced=replaced)
