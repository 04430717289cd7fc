"use strict";

// Displays the contract. The settings prevent requests to other hosts: there is no validator, and a
// link with ?url= cannot make the page load another contract.
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
