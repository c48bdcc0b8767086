"""Reads Bicep and works out what a deployment of it would ask of Azure Resource Manager.

It knows the part of the language that `infra/` uses and refuses the rest. Names that nothing declares, parameters that
a module does not take, values that a parameter does not allow and properties that Azure has not answered are errors,
as they are to the compiler; types of resources and their properties it does not know. The grammar takes a member of a
call's result for two elements where it stands in a list, `[resourceGroup().id]`: give such a value a name first.
"""
