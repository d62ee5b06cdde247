//! `postrider endpoint put`.

use serde_json::{Map, Value, json};

use super::super::{Failure, headers_json, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::operations::endpoint_spec::EndpointSpec;
use crate::store::{DatabaseRefusal, StoreError, one_line, refusal};
use crate::validation::Problems;

/// Creates or replaces the endpoint, and shows once the secret that was generated.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: args::EndpointPut,
) -> Result<(), Failure> {
    let policy = settings.egress(&typed.egress);
    let vault = settings.vault(&typed.encryption);
    let (id, json) = (typed.id.clone(), typed.json);
    let put = spec(typed, &mut settings.problems).check(id, &policy, &mut settings.problems);
    // Faults of the arguments and of the database's URL are reported together.
    let (store, _) = open(settings, url)?;
    let (Some(put), Some(vault)) = (put, vault) else { return Ok(()) };
    let result = store.with_vault(vault).put_endpoint(&put).await.map_err(refused)?;
    if json {
        return Ok(output::json(&result)?);
    }
    output::line(&format!("{} {}", result.endpoint_id, result.result))?;
    if let Some(secret) = result.secret {
        output::line(&format!("signing secret, shown this once: {secret}"))?;
    }
    if let Some(public_key) = result.public_key {
        output::line(&format!("public key of v1a: {public_key}"))?;
    }
    Ok(())
}

/// An argument that the database refuses is wrong usage, like one that we refuse.
fn refused(fault: StoreError) -> Failure {
    if refusal(&fault) == Some(DatabaseRefusal::Invalid) {
        Failure::Usage(one_line(&fault))
    } else {
        fault.into()
    }
}

/// The settings, with those that the command line has another form for.
fn spec(typed: args::EndpointPut, problems: &mut Problems) -> EndpointSpec {
    EndpointSpec {
        headers: headers_json(&typed.headers, problems),
        auth: auth(typed.login, problems),
        ca_certificates: typed.ca_file.and_then(|path| read("ca_file", &path, problems)),
        client_certificate: match typed.client_certificate_file {
            Some(path) if path != "none" => read("client_certificate_file", &path, problems),
            none => none,
        },
        ..typed.spec
    }
}

/// The login as the API has it. `None` if none was typed.
fn auth(typed: args::LoginArgs, problems: &mut Problems) -> Option<Map<String, Value>> {
    let basic = typed.basic_auth.map(|text| {
        let (username, password) = text.split_once(':').unwrap_or((&text, ""));
        json!({ "type": "basic", "username": username, "password": password })
    });
    let bearer = typed.bearer_token.map(|token| json!({ "type": "bearer", "token": token }));
    let oauth2 = typed.oauth2_token_url.map(|token_url| {
        let mut login = json!({
            "type": "oauth2",
            "token_url": token_url,
            "client_id": typed.oauth2_client_id.unwrap_or_default(),
            "client_secret": typed.oauth2_client_secret.unwrap_or_default(),
        });
        if let (Some(scope), Some(fields)) = (typed.oauth2_scope, login.as_object_mut()) {
            fields.insert("scope".to_owned(), scope.into());
        }
        login
    });
    let none = typed.no_auth.then(|| json!({ "type": "none" }));
    let mut given = [basic, bearer, oauth2, none].into_iter().flatten();
    let first = given.next();
    if given.next().is_some() {
        let expected = "needs one of --basic-auth, --bearer-token, --oauth2-token-url and --no-auth";
        problems.add("auth", expected, None);
    }
    first.and_then(|login| if let Value::Object(fields) = login { Some(fields) } else { None })
}

fn read(name: &str, path: &str, problems: &mut Problems) -> Option<String> {
    let read = std::fs::read_to_string(path);
    read.map_err(|fault| problems.add(name, &format!("cannot be read: {fault}"), Some(path))).ok()
}
