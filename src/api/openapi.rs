//! The description in `/openapi.json`: the parts that all routes share.

use utoipa::Modify;
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, ObjectBuilder, OneOfBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    Type,
};

use super::problem::Problem;
pub(super) use crate::operations::described::{
    EndpointPatch, HeaderName, HeaderValue, Secret, TopicPatternText,
};
pub(super) use crate::validation::Whole;

/// The description that `super::described` fills with routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Postrider",
        description = "Insert a row into `postrider.outbox` in your own transaction; it is delivered by signed HTTP POST.\n\n\
                       This is the admin API; everything it does can be done in SQL too. Bodies are JSON; unknown fields \
                       are refused by name. Refusals are `application/problem+json` (RFC 9457) with a stable `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers(
        (url = "/", description = "The dispatcher that serves this description"),
        (url = "http://127.0.0.1:7678", description = "Where `postrider run` listens by default"),
    ),
    tags(
        (name = "endpoints", description = "Receivers of events"),
        (name = "events", description = "Rows of the outbox"),
        (name = "deliveries", description = "One event for one endpoint"),
        (name = "tables", description = "Tables of your own that are attached"),
        (name = "status", description = "Backlog and dispatchers"),
    ),
    security((), ("bearer" = [])),
    modifiers(&Bearer),
    components(schemas(Problem))
)]
pub(super) struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A line of `--api-token-file`; without that flag none is needed"))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.security_schemes.insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    }
}

/// Adds the parts that every route and every response shares.
pub(super) fn complete(openapi: &mut OpenApi) {
    env!("CARGO_PKG_VERSION").clone_into(&mut openapi.info.version);
    let components = openapi.components.get_or_insert_default();
    components.responses.insert("Refused".to_owned(), refusal("Refused: `code` says why").into());
    components.responses.insert("Unable".to_owned(), refusal("Not possible now: `code` says why").into());
    describe_patch(components);
    require_all(components);
    for item in openapi.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.patch, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            responses.insert("4XX".to_owned(), Ref::from_response_name("Refused").into());
            responses.insert("5XX".to_owned(), Ref::from_response_name("Unable").into());
        }
    }
}

fn refusal(why: &str) -> Response {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(why).content("application/problem+json", problem).build()
}

/// A patch has the fields of a PUT, none of them required, and may remove headers.
fn describe_patch(components: &mut Components) {
    let Some(RefOr::T(Schema::Object(body))) = components.schemas.get("EndpointBody") else { return };
    let mut patched = body.clone();
    patched.required.clear();
    let Some(RefOr::T(Schema::Object(patch))) = components.schemas.get_mut("EndpointPatchBody") else {
        return;
    };
    if let Some(RefOr::T(Schema::Object(headers))) = patched.properties.get_mut("headers") {
        let value = OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .item(Ref::from_schema_name("HeaderValue"));
        headers.additional_properties = Some(Box::new(AdditionalProperties::RefOr(value.into())));
    }
    patched.description = patch.description.take();
    *patch = patched;
}

/// Our responses write null and leave no field out. Requests may leave fields out.
fn require_all(components: &mut Components) {
    let answers = components.schemas.iter_mut().filter(|(name, _)| !name.ends_with("Body"));
    for (_, schema) in answers {
        require_fields(schema);
    }
}

fn require_fields(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => object.required = object.properties.keys().cloned().collect(),
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(require_fields),
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}
