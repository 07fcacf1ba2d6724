"use strict";
// A file of its own, since the page's Content-Security-Policy allows no inline script.
const place = document.getElementById("swagger-ui");
window.ui = SwaggerUIBundle({
  url: place.dataset.openapi,
  domNode: place,
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: true,
  tryItOutEnabled: true,
  requestInterceptor: (request) => {
    const key = request.headers["idempotency-key"];
    // Not randomUUID: browsers have it on https alone.
    const numbers = crypto.getRandomValues(new Uint32Array(4));
    if (key) request.headers["idempotency-key"] = key.replace("{{$guid}}", numbers.join("-"));
    return request;
  },
  validatorUrl: null, // it would send the document to a server of others
});
