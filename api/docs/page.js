"use strict";

// Shows the contract. Nothing is asked of another host: no validator, no contract from a ?url= of somebody's link.
SwaggerUIBundle({
  url: "openapi.yaml",
  dom_id: "#contract",
  validatorUrl: null,
  queryConfigEnabled: false,
  deepLinking: true,
  docExpansion: "list",
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  showExtensions: false,
});
