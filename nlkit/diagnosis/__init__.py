"""What works on this machine, what does not, and the remedy: ``nlkit.doctor()``, or ``nlkit doctor``."""

from nlkit.diagnosis.checks import doctor
from nlkit.diagnosis.report import Finding, Report

__all__ = ["Finding", "Report", "doctor"]
