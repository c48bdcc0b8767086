"""The Azure Functions app: registers the blueprint of every module in `functions`, and nothing else."""

import importlib
import pkgutil

import azure.functions as func

import functions

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
for found in pkgutil.iter_modules(functions.__path__):
    app.register_functions(importlib.import_module(f"functions.{found.name}").bp)
