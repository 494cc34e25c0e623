//! The console as people meet it: a real browser, over the real HTTPS.
//!
//! `FWDRILL_SCREENSHOTS=docs/screenshots cargo nextest run --test console` takes the pictures of the README.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "console/browser.rs"]
mod browser;
mod support;

use std::path::PathBuf;

use browser::Browser;
use fwdrill_protocol::flow::Flow;
use support::agent::Agent;
use support::{Server, fwdrill};
use thirtyfour::prelude::*;

const CHECKS: &str = include_str!("console/checks.js");

/// A server, and a browser that stands before its sign-in.
async fn before_the_sign_in() -> (Server, Browser) {
    let server = Server::start(&[]);
    let browser = Browser::start().await;
    let address = format!("https://127.0.0.1:{}/", server.port(Flow::Console));
    browser.driver.goto(address).await.unwrap();
    browser.find("#password").await;
    (server, browser)
}

fn password(server: &Server) -> String {
    let log = server.log();
    let (_, rest) = log
        .split_once(", password ")
        .unwrap_or_else(|| panic!("no password in {log}"));
    rest.split_whitespace().next().unwrap().to_owned()
}

async fn sign_in(browser: &Browser, password: &str) {
    browser.find("#password").await.send_keys(password).await.unwrap();
    browser.find(".sign-in button").await.click().await.unwrap();
}

/// Wide and as a phone, light and dark: nothing is wrong with the page.
async fn holds(browser: &Browser, page: &str) {
    for (width, height, device) in [(1280, 900, "wide"), (360, 740, "phone")] {
        for scheme in ["light", "dark"] {
            browser.looks(width, height, scheme).await;
            let wrong = browser.script(CHECKS).await;
            assert_eq!(wrong, serde_json::json!([]), "{page}, {device}, {scheme}");
            if let Some(directory) = std::env::var_os("FWDRILL_SCREENSHOTS").map(PathBuf::from) {
                let file = directory.join(format!("console-{page}-{device}-{scheme}.png"));
                let all = browser.script("return document.documentElement.scrollHeight").await;
                let all = u32::try_from(all.as_u64().unwrap()).unwrap().max(height);
                browser.looks(width, all, scheme).await;
                browser.driver.screenshot(&file).await.unwrap();
            }
        }
    }
    browser.looks(1280, 900, "light").await;
}

/// Every answer of the API is what its document says.
fn programs_get_what_the_document_says(server: &Server) {
    let get = |path: &str| server.api(path, None);
    let document = get("/api/openapi.json");
    for (path, methods) in document["paths"].as_object().unwrap() {
        let schema = &methods["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if schema.is_null() {
            continue;
        }
        // References lead from the root of the document.
        let mut schema = schema.clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let first = get("/api/reports")[0]["seq"].to_string();
        let answer = get(&path.replace("{seq}", &first));
        validator
            .validate(&answer)
            .unwrap_or_else(|error| panic!("{path}: {error}: {answer}"));
        assert!(answer.as_array().is_none_or(|list| !list.is_empty()), "{path} is empty");
    }
}

/// Somebody on this host who measures the path to the server, and sends it the report.
fn a_client_probes(server: &Server) {
    let mut command = fwdrill();
    command
        .args(["probe", "127.0.0.1", "--quick", "--from", "server"])
        .args(server.settings());
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        support::stderr(&output),
        support::stdout(&output)
    );
}

/// An agent whose own port nobody reaches, as behind NAT.
fn an_agent_checks_in(server: &Server) {
    let token = std::fs::read_to_string(server.state().join(fwdrill_server::TOKEN_FILE)).unwrap();
    let said = serde_json::json!({
        "schema": "fwdrill.check-in/1", "client": "pc-behind-nat", "program": "0.1.0", "task_port": support::closed_port(),
    });
    let output = std::process::Command::new(support::required("curl"))
        .args(["--silent", "--fail", "--header"])
        .arg(format!("Authorization: Bearer {}", token.trim()))
        .args(["--data", &said.to_string()])
        .arg(format!("http://{}/check-in", server.at(Flow::Agent)))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", support::stderr(&output));
}

/// Somebody on this host who updates over FTP.
fn a_client_updates(server: &Server) {
    let into = tempfile::tempdir().unwrap();
    let mut command = fwdrill();
    command
        .args(["sync", "127.0.0.1", "--public-key", server.public_key(), "--into"])
        .arg(into.path())
        .args(server.settings());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", support::stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_signs_in_sees_a_client_come_publishes_a_set_and_signs_out() {
    let (server, browser) = before_the_sign_in().await;
    holds(&browser, "sign-in").await;
    sign_in(&browser, "not-the-password").await;
    browser.reads(".trouble", "not the password").await;
    sign_in(&browser, &password(&server)).await;

    browser.reads("#live-status", "Live.").await;
    browser.reads("#transfers", "None yet").await;
    // No reload from here on: what comes, comes live.
    browser.script("window.stayed = true").await;
    tokio::task::block_in_place(|| a_client_updates(&server));
    browser.reads("#transfers", "complete").await;
    browser.reads("#matrix", "127.0.0.1").await;
    browser.reads("#heat", "reached once").await;
    // An address, and a line for each port that it reached: control, data, version, the console itself; events as they come.
    let drawn = "const map = document.querySelector('#map svg'); \
                 return map.querySelector(':scope > text').textContent.trim().startsWith('127.0.0.1') \
                   && map.querySelectorAll(':scope > line').length >= 4";
    assert_eq!(browser.script(drawn).await, true);
    assert_eq!(browser.script("return window.stayed").await, true);
    holds(&browser, "live").await;

    tokio::task::block_in_place(|| a_client_probes(&server));
    browser.find("a[href='/clients']").await.click().await.unwrap();
    browser.reads("main", "serial 1").await;
    holds(&browser, "clients").await;
    browser.find("a[href='/reports']").await.click().await.unwrap();
    browser.reads("main", "pass").await;
    holds(&browser, "reports").await;
    browser.find("a[href^='/reports/']").await.click().await.unwrap();
    browser.reads("#verdict", "pass").await;
    browser.reads("main", "FTP passive data").await;
    holds(&browser, "report").await;

    browser.find("a[href='/tasks']").await.click().await.unwrap();
    browser.reads("main", "No agent has checked in yet").await;
    an_agent_checks_in(&server);
    browser.find("a[href='/tasks']").await.click().await.unwrap();
    browser
        .find("button[aria-label='Sync now: pc-behind-nat']")
        .await
        .click()
        .await
        .unwrap();
    browser.reads("#given", "waiting").await;
    browser.reads("#given", "cannot be reached: refused").await;
    an_agent_checks_in(&server);
    browser.find("main a[href='/tasks']").await.click().await.unwrap();
    browser.reads("#given", "delivered").await;
    // Another one, which can be reached.
    let agent = Agent::start(&server, &["--every=3600"]);
    let seen_twice = || {
        server
            .api("/api/agents", None)
            .as_array()
            .is_some_and(|agents| agents.len() == 2)
    };
    while !seen_twice() {
        tokio::task::yield_now().await;
    }
    browser.find("main a[href='/tasks']").await.click().await.unwrap();
    browser
        .find("button[aria-label='Send log: pc-1']")
        .await
        .click()
        .await
        .unwrap();
    while !browser
        .find("#given")
        .await
        .text()
        .await
        .unwrap_or_default()
        .contains("uploaded /upload/pc-1/")
    {
        browser.find("main a[href='/tasks']").await.click().await.unwrap();
    }
    browser.reads("#given .good", "done").await;
    drop(agent);
    holds(&browser, "tasks").await;
    tokio::task::block_in_place(|| programs_get_what_the_document_says(&server));

    browser.find("a[href='/updates']").await.click().await.unwrap();
    browser.reads("#serial", "1").await;
    browser.find("#version").await.send_keys("22.0.test").await.unwrap();
    browser
        .find("form[action='/updates'] button")
        .await
        .click()
        .await
        .unwrap();
    browser.reads("#serial", "2").await;
    browser.reads("main", "22.0.test").await;
    holds(&browser, "updates").await;

    browser
        .find("form[action='/sign-out'] button")
        .await
        .click()
        .await
        .unwrap();
    browser.find("#password").await;
    browser.driver.back().await.unwrap();
    browser.find("#password").await;
    browser.driver.quit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_reached_by_keyboard_in_the_order_of_the_page() {
    const FOCUSABLE: &str = "return [...document.querySelectorAll(\"a[href], button, input:not([type=hidden]), [tabindex='0']\")]\
                             .map((element) => element.outerHTML.slice(0, 60))";
    const FOCUSED: &str = "return document.activeElement.outerHTML.slice(0, 60)";
    const OUTLINED: &str = "return getComputedStyle(document.activeElement).outlineStyle !== 'none'";
    let (server, browser) = before_the_sign_in().await;
    // The field has the focus; Enter sends the form.
    let active = browser.driver.active_element().await.unwrap();
    active
        .send_keys(password(&server) + Key::Enter.value().to_string().as_str())
        .await
        .unwrap();
    browser.reads("#live-status", "Live.").await;
    for path in ["/", "/clients", "/reports", "/tasks", "/updates"] {
        let address = format!("https://127.0.0.1:{}{path}", server.port(Flow::Console));
        browser.driver.goto(address).await.unwrap();
        let expected = browser.script(FOCUSABLE).await;
        let mut reached = Vec::new();
        for _ in 0..expected.as_array().unwrap().len() {
            browser
                .driver
                .action_chain()
                .send_keys(Key::Tab.value())
                .perform()
                .await
                .unwrap();
            reached.push(browser.script(FOCUSED).await);
            assert_eq!(browser.script(OUTLINED).await, true, "{path}: {reached:?}");
        }
        assert_eq!(serde_json::Value::from(reached), expected, "{path}");
        assert!(
            expected[0].as_str().unwrap().contains("Skip to the content"),
            "{expected}"
        );
    }
    browser.driver.quit().await.unwrap();
}
