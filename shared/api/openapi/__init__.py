"""The API's description (OpenAPI 3.1), made from the routes and models that serve it; nothing is said twice."""
