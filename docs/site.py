"""For the site: functions whose keywords stand in them at run time only are shown as ``help()`` shows them."""

import importlib
import inspect
from typing import Any

import griffe

ASKED = {"modelstitch.api.stitch", "modelstitch.api.compare", "modelstitch.api.matrix"}


class AtRunTime(griffe.Extension):
    """Takes the signature and the docstring of the functions ASKED from the imported package."""

    def on_function_instance(self, *, func: griffe.Function, **kwargs: Any) -> None:
        if func.path not in ASKED:
            return
        found = getattr(importlib.import_module(func.module.path), func.name)
        func.docstring = griffe.Docstring(inspect.getdoc(found) or "", parent=func)
        func.parameters = griffe.Parameters(
            *(
                griffe.Parameter(
                    p.name,
                    annotation=str(p.annotation),
                    kind=griffe.ParameterKind(p.kind.description),
                    default=None if p.default is p.empty else repr(p.default),
                )
                for p in inspect.signature(found).parameters.values()
            )
        )
