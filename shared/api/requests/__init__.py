"""The models of what requests bring, by subject: one for each function, validated by `shared.api.validation`."""
