//! What `calltrail run --every` shows of itself to the machine that it runs on: `/healthz` for a supervisor, `/metrics` for Prometheus.

use super::Context;
use super::detect::Outcome;
use crate::ingest::Summary;
use crate::sink::deliver::Report;
use chrono::{DateTime, Utc};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Counts since the start.
#[derive(Clone)]
pub(super) struct Metrics(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    every: Duration,
    runs: u64,
    failed_runs: u64,
    /// Whether the last one failed.
    is_failing: bool,
    /// Seconds since the epoch.
    last_run: i64,
    calls: u64,
    rejects: u64,
    new_alerts: u64,
    failed_rules: u64,
    sinks: BTreeMap<String, OfSink>,
}

#[derive(Default)]
struct OfSink {
    delivered: u64,
    refused: u64,
    retries: u64,
    bytes: u64,
    pending: u64,
    oldest_seconds: i64,
    is_failing: bool,
}

impl Metrics {
    pub(super) fn new(every: Duration) -> Self {
        Self(Arc::new(Mutex::new(Counts { every, ..Counts::default() })))
    }

    pub(super) fn ran(&self, ingested: &Summary, detected: Option<&Outcome>, now: i64) {
        let mut counts = self.0.lock();
        counts.runs += 1;
        counts.is_failing = false;
        counts.last_run = now;
        counts.calls += ingested.calls;
        counts.rejects += ingested.rejects;
        if let Some(Outcome { detected, .. }) = detected {
            counts.new_alerts += detected.new.len() as u64;
            counts.failed_rules = detected.failed.len() as u64;
        }
    }

    pub(super) fn failed(&self) {
        let mut counts = self.0.lock();
        counts.runs += 1;
        counts.failed_runs += 1;
        counts.is_failing = true;
    }

    pub(super) fn shipped(&self, reports: &[Report], now: DateTime<Utc>) {
        let mut counts = self.0.lock();
        for report in reports {
            let sink = counts.sinks.entry(report.sink.clone()).or_default();
            sink.delivered += report.delivered;
            sink.refused += report.refused;
            sink.retries += report.retries;
            sink.bytes += report.bytes;
            sink.pending = report.pending;
            let age = report.oldest_pending.map(|time| (now.timestamp_micros() - time) / 1_000_000);
            sink.oldest_seconds = age.unwrap_or(0).max(0);
            sink.is_failing = report.problem.is_some();
        }
    }

    /// Well, if the last run did what it should and the next is not overdue.
    fn health(&self, now: i64) -> (bool, String) {
        let counts = self.0.lock();
        let allowed = i64::try_from(counts.every.as_secs().saturating_mul(3)).unwrap_or(i64::MAX).max(60);
        let is_late = counts.runs > 0 && now - counts.last_run > allowed;
        let failing: Vec<&str> =
            counts.sinks.iter().filter(|(_, sink)| sink.is_failing).map(|(name, _)| name.as_str()).collect();
        match (counts.is_failing, is_late, failing.is_empty()) {
            (true, ..) => (false, "the last run failed\n".to_owned()),
            (_, true, _) => (false, "no run has ended for too long\n".to_owned()),
            (.., false) => (false, format!("sinks do not take alerts: {}\n", failing.join(", "))),
            _ => (true, "ok\n".to_owned()),
        }
    }

    /// In Prometheus' text format. Names of sinks need no escaping.
    fn text(&self) -> String {
        let counts = self.0.lock();
        let mut out = String::new();
        let plain = [
            ("runs_total", "counter", "Runs begun.", counts.runs as i64),
            ("failed_runs_total", "counter", "Runs that failed.", counts.failed_runs as i64),
            ("last_run_timestamp_seconds", "gauge", "When the last run that did not fail ended.", counts.last_run),
            ("calls_total", "counter", "Calls read.", counts.calls as i64),
            ("rejects_total", "counter", "Records that could not be read.", counts.rejects as i64),
            ("new_alerts_total", "counter", "Alerts found.", counts.new_alerts as i64),
            ("failed_rules", "gauge", "Rules that failed in the last run.", counts.failed_rules as i64),
        ];
        for (name, kind, help, value) in plain {
            let _ = write!(
                out,
                "# HELP calltrail_{name} {help}\n# TYPE calltrail_{name} {kind}\ncalltrail_{name} {value}\n"
            );
        }
        type Get = fn(&OfSink) -> i64;
        let of_sink: [(&str, &str, &str, Get); 7] = [
            ("sink_delivered_total", "counter", "Alerts delivered.", |sink| sink.delivered as i64),
            ("sink_refused_total", "counter", "Alerts refused and set aside.", |sink| sink.refused as i64),
            ("sink_retries_total", "counter", "Batches sent again.", |sink| sink.retries as i64),
            ("sink_bytes_total", "counter", "Bytes of messages sent.", |sink| sink.bytes as i64),
            ("sink_pending", "gauge", "Alerts that wait.", |sink| sink.pending as i64),
            ("sink_oldest_pending_seconds", "gauge", "Age of the oldest alert that waits.", |sink| sink.oldest_seconds),
            ("sink_failing", "gauge", "1 if the sink did not take everything.", |sink| i64::from(sink.is_failing)),
        ];
        for (name, kind, help, get) in of_sink.into_iter().filter(|_| !counts.sinks.is_empty()) {
            let _ = write!(out, "# HELP calltrail_{name} {help}\n# TYPE calltrail_{name} {kind}\n");
            for (sink, of_sink) in &counts.sinks {
                let _ = writeln!(out, "calltrail_{name}{{sink=\"{sink}\"}} {}", get(of_sink));
            }
        }
        out
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, content_type, text) = match request.uri().path() {
            "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4", self.text()),
            "/healthz" => {
                let (is_well, text) = self.health(super::ui::unix_seconds());
                (if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, "text/plain", text)
            }
            _ => (StatusCode::NOT_FOUND, "text/plain", "there are /healthz and /metrics\n".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
        response
    }
}

/// Answers requests from now on; says where.
pub(super) fn serve(context: &Context, address: SocketAddr, metrics: Metrics) -> std::io::Result<SocketAddr> {
    let listener = context.runtime.block_on(TcpListener::bind(address))?;
    let bound = listener.local_addr()?;
    context.runtime.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of file handles, for example: the next moment may be better.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let metrics = metrics.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = metrics.answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                // Whoever asks and goes away is no fault of ours.
                let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(bound)
}
