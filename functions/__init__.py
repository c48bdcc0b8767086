"""One module per Azure Function; each holds one Blueprint with one trigger."""
