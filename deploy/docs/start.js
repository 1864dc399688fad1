// Shows /openapi.json. Nothing is loaded from elsewhere, and no token is kept.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
});
