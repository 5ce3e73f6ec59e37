"""Shows a plan as Markdown before it runs, and waits for a person where that is wanted."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanApproval(ApprovalOperator):
    """The plan stands under *Required Actions* of the task. It is approved by a person, or, without the param
    `approve`, by itself at once."""

    def __init__(self, *, param: str = "approve", **kwargs: Any) -> None:
        super().__init__(defaults=self.APPROVE, **kwargs)
        self.param = param

    def execute(self, context: "Context") -> Any:
        if not context["params"][self.param]:
            self.response_timeout = timedelta(seconds=1)
        self.log.info("%s\n%s", self.subject, self.body)
        return super().execute(context)
