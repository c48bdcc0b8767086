"use strict";

// A token entered here is kept in the page's memory only, and nothing is asked of any other host.
const place = document.getElementById("documentation");

SwaggerUIBundle({
  domNode: place,
  url: new URL(place.dataset.description, document.location).href,
  validatorUrl: null,
  persistAuthorization: false,
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  requestSnippetsEnabled: true,
  defaultModelsExpandDepth: 0,
});
