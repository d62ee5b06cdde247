//! How long a request takes from here to a receiver and back: one after the other, each sent when the one before it is answered,
//! by the HTTP client that Postrider has. Prints the mean in microseconds.

use std::time::Instant;

use anyhow::ensure;
use clap::Parser;
use reqwest::Client;

/// Measures the mean round trip of a POST.
#[derive(Parser)]
struct Arguments {
    /// Where to.
    #[arg(long)]
    url: String,
    /// How many, after a tenth of them to warm up.
    #[arg(long, default_value_t = 2_000)]
    requests: u32,
    /// The size of each body.
    #[arg(long, default_value_t = 200)]
    bytes: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { url, requests, bytes } = Arguments::parse();
    let client = Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let body = "x".repeat(bytes);
    post(&client, &url, &body, requests / 10).await?;
    let begun = Instant::now();
    post(&client, &url, &body, requests).await?;
    println!("{:.1}", begun.elapsed().as_secs_f64() * 1e6 / f64::from(requests));
    Ok(())
}

async fn post(client: &Client, url: &str, body: &str, requests: u32) -> anyhow::Result<()> {
    for _ in 0..requests {
        let answer = client.post(url).body(body.to_owned()).send().await?;
        ensure!(answer.status().is_success(), "{url} answered {}", answer.status());
        answer.bytes().await?;
    }
    Ok(())
}
