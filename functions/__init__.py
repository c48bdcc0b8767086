"""One module per Azure Function, each with one Blueprint, `bp`, that holds one trigger; function_app.py finds them."""
