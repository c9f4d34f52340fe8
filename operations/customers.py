"""What may be told to a customer who asks where the money is, in Chinese and in English."""

from __future__ import annotations

from domain.shanghai import SHANGHAI
from domain.withdrawal import Status
from ledger.cases import Unfinished


def tell_the_customer(waiting: Unfinished) -> tuple[str, str] | None:
    """One sentence in each language, with nothing in it that is not the customer's own; None once it is over."""
    match waiting.status:
        case Status.AWAITING_VERIFICATION if waiting.verified:
            return "验证码正确，正在冻结提现金额，请稍候", "the code was right, and the amount is being frozen"
        case Status.AWAITING_VERIFICATION if not waiting.code_sent:
            return "验证码短信尚未发出，请稍候", "the SMS with the code has not gone out yet"
        case Status.AWAITING_VERIFICATION:
            until = f"{waiting.code_expires_at.astimezone(SHANGHAI):%H:%M}"
            return (
                f"请在 {until} 前输入短信验证码；过期可以重新申请",
                f"enter the code from the SMS before {until}; after that, apply again",
            )
        case Status.AWAITING_APPROVAL:
            return (
                "因金额较大，由财务审批；金额已冻结，审批完成前可以取消",
                "finance checks it because of its amount; the amount is frozen, and it can be cancelled until then",
            )
        case Status.PROCESSING if waiting.window is not None:
            first, last = waiting.window.earliest, waiting.window.latest
            marks = ("（暂定）", " (provisional)") if waiting.window.provisional else ("", "")
            return (
                f"银行正在转账，预计 {first} 至 {last} 到账{marks[0]}",
                f"the bank transfers it; it arrives from {first} to {last}{marks[1]}",
            )
        case Status.PROCESSING:
            return "银行在 10 到 15 个工作日内转账", "the bank transfers it within 10 to 15 working days"
        case Status.UNDER_REVIEW:
            return (
                "财务正在向银行核查转账结果；金额仍冻结在账户中，您无需操作",
                "finance finds out with the bank what became of the transfer; the amount stays frozen in the account",
            )
        case _:
            return None
