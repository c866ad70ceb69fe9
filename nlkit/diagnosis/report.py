"""What the checks found, shown as a table in a terminal and in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Finding", "Report", "Status"]

Status = Literal["ok", "warn", "fail"]
MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


class Finding(NamedTuple):
    """One row of the report."""

    check: str
    status: Status
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """What the checks found; it prints as a table in a terminal and in a notebook.

    Attributes
    ----------
    findings
        One `Finding` a check.
    """

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True when no check failed; warnings are allowed."""
        return all(finding.status != "fail" for finding in self.findings)

    @property
    def table(self) -> pd.DataFrame:
        """One row a check: check, status ("ok", "warn" or "fail"), found, remedy."""
        import pandas as pd

        return pd.DataFrame(self.findings, columns=list(Finding._fields))

    @property
    def summary(self) -> str:
        """One sentence."""
        count = {status: sum(f.status == status for f in self.findings) for status in MARKS}
        if not self.ok:
            return f"{count['fail']} of {len(self.findings)} checks failed; the remedies are beside them."
        return f"Everything that is needed works ({count['ok']} ok, {count['warn']} to look at)."

    def __repr__(self) -> str:
        width = max(len(finding.check) for finding in self.findings)
        lines = []
        for finding in self.findings:
            lines.append(f"{MARKS[finding.status]} {finding.check:<{width}}  {finding.found}")
            if finding.status != "ok" and finding.remedy:
                lines += [f"  {'':<{width}}  → {line.strip()}" for line in finding.remedy.splitlines()]
        return "\n".join([*lines, "", self.summary])

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in Finding._fields)
        body = "".join(
            f'<tr><th scope="row" style="text-align:left">{escape(f.check)}</th>'
            f"<td>{MARKS[f.status]} {f.status}</td>"
            f'<td style="text-align:left">{escape(f.found)}</td>'
            f'<td style="text-align:left"><code>{escape(f.remedy * (f.status != "ok"))}</code></td></tr>'
            for f in self.findings
        )
        return (
            f"<table><caption>{escape(self.summary)}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>"
        )
