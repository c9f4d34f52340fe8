"""A contract for import-linter: packages that need nothing but the standard library."""

from __future__ import annotations

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class StandardLibraryOnlyContract(Contract):
    """Every import of the packages is their own, or of the standard library of this Python."""

    packages = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Broken by the first import of anything else."""
        # The linter puts the configured names where the class has the field.
        packages = cast(list[str], self.packages)
        allowed = {*sys.stdlib_module_names, *packages}
        strangers = sorted(
            f"{module} imports {imported}"
            for module in graph.modules
            if module.split(".")[0] in packages
            for imported in graph.find_modules_directly_imported_by(module)
            if imported.split(".")[0] not in allowed
        )
        return ContractCheck(kept=not strangers, metadata={"strangers": strangers})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each import that breaks it."""
        for stranger in check.metadata["strangers"]:
            output.print_error(stranger, bold=False)
