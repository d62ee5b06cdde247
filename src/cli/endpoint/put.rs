//! `postrider endpoint put` and `set`.

use serde_json::{Map, Value, json};

use super::super::{Failure, headers_json, open, output, question};
use crate::config::Settings;
use crate::config::args;
use crate::model::endpoint::TemplateUrl;
use crate::model::topic::{TopicPattern, is_wider};
use crate::operations::endpoint_spec::EndpointSpec;
use crate::operations::lookup::{existing_endpoint, known};
use crate::store::{
    CheckedEndpoint, DatabaseRefusal, Store, StoreError, Writing, WrittenEndpoint, one_line, refusal,
};
use crate::validation::Problems;
use crate::validation::named::Named;

/// This word names the default.
const DEFAULT: &str = "default";

/// Creates the endpoint or changes what is named, and shows once the secret that was generated.
pub(super) async fn put(
    settings: Settings,
    url: Option<String>,
    typed: args::EndpointPut,
) -> Result<(), Failure> {
    write(settings, url, typed, Writing::Put, &[]).await
}

/// Changes what is named of an endpoint that exists.
pub(super) async fn set(
    settings: Settings,
    url: Option<String>,
    typed: args::EndpointSet,
) -> Result<(), Failure> {
    write(settings, url, typed.named, Writing::Set, &typed.no_header).await
}

async fn write(
    mut settings: Settings,
    url: Option<String>,
    typed: args::EndpointPut,
    writing: Writing,
    no_header: &[String],
) -> Result<(), Failure> {
    let (egress, named) = named_ranges(&typed.egress);
    let policy = settings.egress(&egress);
    let ranges = policy.allow_cidrs.iter().map(ToString::to_string).collect();
    let kept = kept(named, &egress, (policy.allow_http, ranges));
    let vault = settings.vault(&typed.encryption);
    let (id, json, is_asked) = (typed.id.clone(), typed.json, !typed.yes && question::can_be_asked());
    let spec = spec(typed, no_header, &mut settings.problems);
    let put = spec.check(id, writing, &policy, &mut settings.problems);
    // Faults of the arguments and of the database's URL are reported together.
    let (store, _) = open(settings, url)?;
    let (Some(mut put), Some(vault)) = (put, vault) else { return Ok(()) };
    if !kept.is_empty() && is_template(&store, &put).await? {
        put = kept.into_iter().fold(put, |put, (name, value)| put.with(name, value));
    }
    if is_asked && !is_meant(&store, &put).await? {
        return Err(Failure::Failed(format!("endpoint \"{}\" was not changed", put.id)));
    }
    let store = store.with_vault(vault);
    let written = match store.put_endpoint(&put).await {
        Err(fault) if refusal(&fault) == Some(DatabaseRefusal::Invalid) => return Err(refused(&fault)),
        done => known(&store, &put.id, done).await?,
    };
    if json { Ok(output::json(&written)?) } else { print(&written) }
}

/// The flags that say what may be called, without the word for the default; and which of them had it.
fn named_ranges(typed: &args::Egress) -> (args::Egress, [bool; 2]) {
    let mut egress = typed.clone();
    let is_http = egress.allow_http.take_if(|text| text == DEFAULT).is_some();
    let is_cidr = matches!(egress.allow_cidr.as_slice(), [only] if only == DEFAULT);
    if is_cidr {
        egress.allow_cidr.clear();
    }
    (egress, [is_http, is_cidr])
}

/// What a template keeps of the flags that say what may be called. A file of settings is the dispatcher's, and nothing of it is kept.
fn kept(
    is_default: [bool; 2],
    typed: &args::Egress,
    (allow_http, ranges): (bool, Vec<String>),
) -> Vec<(&'static str, Value)> {
    let [is_http, is_cidr] = is_default;
    let http = if is_http { Some(Value::Null) } else { typed.allow_http.as_ref().map(|_| allow_http.into()) };
    let cidr =
        if is_cidr { Some(Value::Null) } else { (!typed.allow_cidr.is_empty()).then(|| ranges.into()) };
    [("allow_http", http), ("allow_cidr", cidr)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}

/// Whether the endpoint is a template, or becomes one.
async fn is_template(store: &Store, put: &CheckedEndpoint) -> Result<bool, Failure> {
    match put.settings.get("url").and_then(Value::as_str) {
        Some(url) => Ok(TemplateUrl::is_meant(url)),
        None => Ok(store.read_endpoint(&put.id).await?.is_some_and(|row| row.children.is_some())),
    }
}

fn print(written: &WrittenEndpoint) -> Result<(), Failure> {
    output::line(&format!("{} {}", written.endpoint_id, written.result))?;
    for change in &written.changes {
        output::line(change)?;
    }
    if let Some(secret) = &written.secret {
        output::line(&format!("signing secret, shown this once: {secret}"))?;
    }
    if let Some(public_key) = &written.public_key {
        output::line(&format!("public key of v1a: {public_key}"))?;
    }
    Ok(())
}

/// Asks whether an endpoint may subscribe to more than it does: events of others might leave the house.
async fn is_meant(store: &Store, put: &CheckedEndpoint) -> Result<bool, Failure> {
    let Some(new) = put.topics() else { return Ok(true) };
    if put.writing == Writing::Put && store.read_endpoint(&put.id).await?.is_none() {
        return Ok(true);
    }
    let row = existing_endpoint(store, &put.id).await?;
    let old: Vec<TopicPattern> = row.topics.iter().filter_map(|text| text.parse().ok()).collect();
    if !is_wider(&new, &old) {
        return Ok(true);
    }
    let [old, new] = [old, new].map(|patterns| list(&patterns));
    let question = format!("{} gets events of {old}, and would get more: {new}. Go on?", put.id);
    Ok(question::is_confirmed(&question)?)
}

fn list(patterns: &[TopicPattern]) -> String {
    let texts: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "no topic".to_owned() } else { texts.join(",") }
}

/// An argument that the database refuses is wrong usage, like one that we refuse.
fn refused(fault: &StoreError) -> Failure {
    Failure::Usage(one_line(fault))
}

/// The settings, with those that the command line has another form for.
fn spec(typed: args::EndpointPut, no_header: &[String], problems: &mut Problems) -> EndpointSpec {
    EndpointSpec {
        headers: headers(&typed.headers, no_header, problems),
        auth: auth(typed.login, problems).map(Named::To),
        ca_certificates: typed.ca_file.and_then(|path| read_file("ca_file", path, problems)),
        client_certificate: typed
            .client_certificate_file
            .and_then(|path| read_file("client_certificate_file", path, problems)),
        ..typed.spec
    }
}

/// The headers; null is one that goes. `None` if none was named.
fn headers(
    lines: &[String],
    removed: &[String],
    problems: &mut Problems,
) -> Option<Named<Map<String, Value>>> {
    if lines.is_empty() && removed.is_empty() {
        return None;
    }
    if let [line] = lines
        && line == DEFAULT
        && removed.is_empty()
    {
        return Some(Named::Default);
    }
    let mut headers = headers_json(lines, problems);
    headers.extend(removed.iter().map(|name| (name.clone(), Value::Null)));
    Some(Named::To(headers))
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

/// The text of a file. The words for it that are no files stay words.
fn read_file(name: &str, path: String, problems: &mut Problems) -> Option<Named<String>> {
    match path.as_str() {
        DEFAULT => Some(Named::Default),
        "none" => Some(Named::To(path)),
        _ => {
            let read = std::fs::read_to_string(&path);
            let read =
                read.map_err(|fault| problems.add(name, &format!("cannot be read: {fault}"), Some(&path)));
            read.ok().map(Named::To)
        }
    }
}
