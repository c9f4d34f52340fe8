"""Made-up customers and finance people of the sandbox. They are registered when somebody logs in as one of them.

Ids begin with ``demo_``, so that they meet no account that anybody else makes on the same stack.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from console.api_client import Calls
from console.marks import mark
from console.people import FINANCE, OPERATIONS, WITHDRAWALS, Person


@dataclass(frozen=True)
class SandboxCustomer:
    """A person or company, what is on the account, and what there is to try with it."""

    key: str
    subject_type: str
    name: str
    phone: str | None
    bank_name: str
    branch_name: str
    card_number: str
    what: str
    cash: str = "0.00"
    vouchers: str = "0.00"
    charge: str | None = None
    verified: bool = True
    suspended: bool = False
    pay_as_you_use: bool = False

    def registration(self, phone: str | None) -> dict[str, Any]:
        """As billing tells it."""
        return {
            "subject_type": self.subject_type,
            "subject_name": self.name,
            "verified": self.verified,
            "phone": phone,
            "suspended": self.suspended,
            "pay_as_you_use": self.pay_as_you_use,
        }


CUSTOMERS = (
    SandboxCustomer(
        "zhang",
        "person",
        "张伟",
        "13500000101",
        "平安银行",
        "上海分行营业部",
        "6230580000000100011",
        mark("1,280.00 in cash and a pay-as-you-use product: 200.00 stay reserved. Also has a voucher."),
        cash="1280.00",
        vouchers="100.00",
        pay_as_you_use=True,
    ),
    SandboxCustomer(
        "yunshang",
        "company",
        "云上科技（上海）有限公司",
        "13500000102",
        "招商银行",
        "上海分行张江支行",
        "6228480000000200022",
        mark("A company with 86,000.00: from 50,000.00 on, one person of finance has to approve."),
        cash="86000.00",
    ),
    SandboxCustomer(
        "yuanshan",
        "company",
        "远山数据集团有限公司",
        "13500000103",
        "中国工商银行",
        "北京中关村支行",
        "6222020000000300038",
        mark("A group with 1,200,000.00: from 500,000.00 on, two different people have to approve."),
        cash="1200000.00",
    ),
    SandboxCustomer(
        "li",
        "person",
        "李娜",
        "13500000104",
        "中国建设银行",
        "杭州西湖支行",
        "6217000000000400048",
        mark("The account is suspended."),
        cash="640.00",
        suspended=True,
    ),
    SandboxCustomer(
        "wang",
        "person",
        "王强",
        "13500000105",
        "平安银行",
        "深圳分行福田支行",
        "6230580000000500053",
        mark("The account is in arrears: more was used than was topped up."),
        cash="100.00",
        charge="180.50",
    ),
    SandboxCustomer(
        "chen",
        "person",
        "陈静",
        "13500000106",
        "招商银行",
        "成都天府支行",
        "6225880000000600066",
        mark("Real-name verification is missing."),
        cash="300.00",
        verified=False,
    ),
    SandboxCustomer(
        "liu",
        "person",
        "刘洋",
        "13500000107",
        "交通银行",
        "南京鼓楼支行",
        "6216610000000700078",
        mark("Much in vouchers, little in cash: vouchers cannot be withdrawn."),
        cash="56.00",
        vouchers="500.00",
    ),
    SandboxCustomer(
        "zhao",
        "person",
        "赵敏",
        None,
        "中国银行",
        "广州天河支行",
        "6227000000000800089",
        mark("The account has no phone for the verification code."),
        cash="420.00",
    ),
)


@dataclass(frozen=True)
class SandboxFinance:
    """One of finance; the name doubles as the id that approvals are recorded under."""

    key: str
    subject: str
    name: str
    what: str
    scopes: tuple[str, ...] = field(default=(FINANCE,))


FINANCE_PEOPLE = (
    SandboxFinance(
        "li.wei",
        "li.wei",
        "李伟",
        mark("Approves, resolves, and looks after the differences between the books."),
        (FINANCE, OPERATIONS),
    ),
    SandboxFinance("wang.fang", "wang.fang", "王芳", mark("Approves and resolves: the second pair of eyes.")),
)


def customer(key: str) -> SandboxCustomer | None:
    """The customer of this key."""
    return next((one for one in CUSTOMERS if one.key == key), None)


def finance_person(key: str) -> Person | None:
    """The person of finance of this key."""
    found = next((one for one in FINANCE_PEOPLE if one.key == key), None)
    return None if found is None else Person(found.subject, found.scopes, name=found.name)


async def open_account(chosen: SandboxCustomer, billing: Calls, *, fresh: bool) -> Person:
    """Registers the customer and books what is on the account, once however often they log in.

    ``fresh`` opens one more account of the same kind, on which nothing has been withdrawn yet.
    """
    account_id, phone = f"demo_{chosen.key}", chosen.phone
    if fresh:
        account_id = f"{account_id}_{secrets.token_hex(3)}"
        phone = phone and f"177{secrets.randbelow(10**8):08d}"
    await billing.register(account_id, chosen.registration(phone))
    for kind, amount in (("top-ups", chosen.cash), ("vouchers", chosen.vouchers), ("charges", chosen.charge)):
        if amount is not None and amount != "0.00":
            await billing.book(account_id, kind, f"{account_id}-{kind}", amount)
    return Person(
        subject=account_id.replace("demo_", "user_", 1),
        scopes=(WITHDRAWALS,),
        account_id=account_id,
        name=chosen.name,
        phone=phone,
        card={
            "bank_name": chosen.bank_name,
            "branch_name": chosen.branch_name,
            "card_number": chosen.card_number,
        },
    )
