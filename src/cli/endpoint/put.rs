//! `postrider endpoint put`.

use serde_json::json;

use super::super::{Failure, headers_json, open, output};
use crate::config::Settings;
use crate::config::args;
use crate::operations::endpoint_spec::EndpointSpec;
use crate::store::{Refusal, StoreError, one_line, refusal};
use crate::validation::Problems;

/// Creates or replaces it, and shows what was generated once.
pub(super) async fn run(
    mut settings: Settings,
    url: Option<String>,
    typed: args::EndpointPut,
) -> Result<(), Failure> {
    let policy = settings.egress(&typed.egress);
    let vault = settings.vault(&typed.encryption);
    let json = typed.json;
    let put = registration(typed, &mut settings.problems).check(&policy, &mut settings.problems);
    // Reports what is wrong with the arguments and with the database's URL together.
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

/// What the database does not take was typed wrong, as what we do not take.
fn refused(fault: StoreError) -> Failure {
    if refusal(&fault) == Some(Refusal::Invalid) { Failure::Usage(one_line(&fault)) } else { fault.into() }
}

/// Texts become values; what they may be, `registration` knows.
fn registration(typed: args::EndpointPut, problems: &mut Problems) -> EndpointSpec {
    EndpointSpec {
        headers: headers_json(&typed.headers, problems),
        max_in_flight: typed.max_in_flight.trim().parse().ok(),
        auth: auth(typed.login, problems),
        ca_certificates: typed.ca_file.and_then(|path| read("ca_file", &path, problems)),
        client_certificate: match typed.client_certificate_file {
            Some(path) if path != "none" => read("client_certificate_file", &path, problems),
            none => none,
        },
        id: typed.id,
        url: typed.url,
        topics: typed.topics,
        secret: typed.secret,
        rate_limit: typed.rate_limit,
        timeout: typed.timeout,
        retry_schedule: typed.retry_schedule,
        ordered: typed.ordered,
        format: Some(typed.format),
        signing_key: typed.signing_key,
    }
}

/// The login as JSON; none is given: none.
fn auth(typed: args::Login, problems: &mut Problems) -> Option<String> {
    let basic = typed.basic_auth.map(|text| {
        let (username, password) = text.split_once(':').unwrap_or((&text, ""));
        json!({ "type": "basic", "username": username, "password": password }).to_string()
    });
    let bearer = typed.bearer_token.map(|token| json!({ "type": "bearer", "token": token }).to_string());
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
        login.to_string()
    });
    let none = typed.no_auth.then(|| "none".to_owned());
    let mut given = [basic, bearer, oauth2, none].into_iter().flatten();
    let first = given.next();
    if given.next().is_some() {
        let expected = "needs one of --basic-auth, --bearer-token, --oauth2-token-url and --no-auth";
        problems.add("auth", expected, None);
    }
    first
}

fn read(name: &str, path: &str, problems: &mut Problems) -> Option<String> {
    let read = std::fs::read_to_string(path);
    read.map_err(|fault| problems.add(name, &format!("cannot be read: {fault}"), Some(path))).ok()
}
