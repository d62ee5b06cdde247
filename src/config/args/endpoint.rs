//! `postrider endpoint …` as typed.

use clap::{Args, Subcommand};

use super::{Egress, Encryption};
use crate::operations::endpoint_spec::EndpointSpec;

/// `postrider endpoint …`
#[derive(Debug, Subcommand)]
pub enum EndpointArgs {
    /// Create an endpoint, or change what is named; the same call twice changes nothing
    #[command(
        mut_arg("url", |url| url.required(true)),
        after_help = "A setting that is not named is kept, and has its default in a new endpoint. The word default names the default, as in \
        --topics default. Headers that are named replace all others.\n\n\
        A name in braces in --url makes a template. An event for devices/10.20.3.4 then goes to the URL with 10.20.3.4 in it. \
        --allow-http and --allow-cidr say what the URL of any endpoint may be at this call. Of a template they are kept, too: an \
        address must be in one of its ranges, and run must allow it as well.\n\n\
        Example: postrider endpoint put orders --url https://example.com/hook --topics 'order.*'"
    )]
    Put(Box<EndpointPut>),
    /// Change what is named of an endpoint that exists, and keep the rest
    #[command(
        after_help = "The word default names the default, as in --rate-limit default. Headers that are not named are kept.\n\n\
        Example: postrider endpoint set orders --topics 'order.*,invoice.*' --timeout default"
    )]
    Set(Box<EndpointSet>),
    /// List endpoints and their health
    #[command(
        after_help = "The endpoints of a template are counted in its line, unless they are asked for.\n\n\
        Example: postrider endpoint list --json"
    )]
    List(EndpointList),
    /// Show one endpoint, without its secret
    #[command(after_help = "Example: postrider endpoint show orders")]
    Show(EndpointId),
    /// Stop attempts; deliveries wait
    #[command(after_help = "Example: postrider endpoint pause orders --reason 'their maintenance window'")]
    Pause(EndpointPause),
    /// Enable a paused or disabled endpoint
    #[command(after_help = "Example: postrider endpoint resume orders")]
    Resume(EndpointId),
    /// Delete an endpoint: what waits for it is given up, its history stays
    #[command(after_help = "Example: postrider endpoint delete orders --yes")]
    Delete(EndpointDelete),
    /// Give an endpoint a new signing secret, and show it once; the old one signs too for a while
    #[command(after_help = "Example: postrider endpoint rotate-secret orders --overlap 2days")]
    RotateSecret(EndpointRotateSecret),
    /// Send an endpoint an event of topic postrider.test, and show what it answers
    #[command(
        after_help = "Needs a dispatcher that runs. Exit code 0 if the answer is 2xx. A test that failed is not retried.\n\n\
        Example: postrider endpoint test orders --wait 10s"
    )]
    Test(EndpointTest),
    /// Skip the deliveries of one key: the one that holds it up, and those that wait behind it
    #[command(
        after_help = "They are given up. A delivery under way stays. Events that come later are sent.\n\n\
        Example: postrider endpoint skip-key orders customer-17 --reason 'the customer was deleted'"
    )]
    SkipKey(EndpointSkipKey),
}

/// `postrider endpoint put`
#[derive(Args, Debug)]
pub struct EndpointPut {
    /// Chosen by you: 1 to 64 of A-Z a-z 0-9 . _ -
    pub id: String,
    /// The settings that are typed as they are.
    #[command(flatten)]
    pub spec: EndpointSpec,
    /// Header of every request; repeatable; the word default alone removes all
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// How to log in.
    #[command(flatten)]
    pub login: LoginArgs,
    /// PEM file with the authorities that alone are trusted for this endpoint; none: those of the system
    #[arg(long, value_name = "FILE|none")]
    pub ca_file: Option<String>,
    /// PEM file with the certificate to show, its chain and its private key; none removes it
    #[arg(long, value_name = "FILE|none")]
    pub client_certificate_file: Option<String>,
    /// Addresses that requests may go to.
    #[command(flatten)]
    pub egress: Egress,
    /// The keys.
    #[command(flatten)]
    pub encryption: Encryption,
    /// Do not ask; on a terminal it is asked before an endpoint gets topics that it did not get
    #[arg(long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider endpoint set`
#[derive(Args, Debug)]
pub struct EndpointSet {
    /// The settings, as put has them.
    #[command(flatten)]
    pub named: EndpointPut,
    /// Remove this header; repeatable
    #[arg(long, value_name = "NAME")]
    pub no_header: Vec<String>,
}

/// How to log in at an endpoint: one way at most.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// Log in with Authorization: Basic
    #[arg(long, env = "POSTRIDER_BASIC_AUTH", hide_env_values = true, value_name = "USER:PASSWORD")]
    pub basic_auth: Option<String>,
    /// Log in with Authorization: Bearer
    #[arg(long, env = "POSTRIDER_BEARER_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub bearer_token: Option<String>,
    /// Log in with a token of OAuth 2 client credentials, asked for here
    #[arg(long, requires_all = ["oauth2_client_id", "oauth2_client_secret"], value_name = "URL")]
    pub oauth2_token_url: Option<String>,
    /// Our name there
    #[arg(long, requires = "oauth2_token_url", value_name = "ID")]
    pub oauth2_client_id: Option<String>,
    /// The secret of that name
    #[arg(long, env = "POSTRIDER_OAUTH2_CLIENT_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub oauth2_client_secret: Option<String>,
    /// The rights that the token is to have
    #[arg(long, requires = "oauth2_token_url", value_name = "SCOPE")]
    pub oauth2_scope: Option<String>,
    /// Log in no more
    #[arg(long)]
    pub no_auth: bool,
}

/// `postrider endpoint list`
#[derive(Args, Debug)]
pub struct EndpointList {
    /// List the endpoints of templates, too
    #[arg(long)]
    pub all: bool,
    /// List the endpoints of this template
    #[arg(long, value_name = "ID", conflicts_with = "all")]
    pub template: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// An endpoint.
#[derive(Args, Debug)]
pub struct EndpointId {
    /// The endpoint
    pub id: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider endpoint pause`
#[derive(Args, Debug)]
pub struct EndpointPause {
    /// The endpoint
    pub id: String,
    /// Shown in `postrider.endpoint_health`
    #[arg(long)]
    pub reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider endpoint delete`
#[derive(Args, Debug)]
pub struct EndpointDelete {
    /// The endpoint
    pub id: String,
    /// Do not ask; needed where stdin is no terminal
    #[arg(long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider endpoint rotate-secret`
#[derive(Args, Debug)]
pub struct EndpointRotateSecret {
    /// The endpoint
    pub id: String,
    /// The new secret, whsec_ and base64 of 24 to 64 bytes; generated if not given
    #[arg(long, env = "POSTRIDER_SECRET", hide_env_values = true, value_name = "whsec_...")]
    pub secret: Option<String>,
    /// The old secret signs too for this long, 0s to 30days
    #[arg(long, default_value = "24h", value_name = "DURATION")]
    pub overlap: String,
    /// The keys.
    #[command(flatten)]
    pub encryption: Encryption,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider endpoint skip-key`
#[derive(Args, Debug)]
pub struct EndpointSkipKey {
    /// The endpoint
    pub id: String,
    /// The key
    pub key: String,
    /// Only events inserted up to this time: an age (1h = one hour ago) or an RFC 3339 time [default: now]
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Why; kept as the error of each delivery
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `postrider endpoint test`
#[derive(Args, Debug)]
pub struct EndpointTest {
    /// The endpoint
    pub id: String,
    /// Wait this long for the first attempt, 100ms to 1h
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    pub wait: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
