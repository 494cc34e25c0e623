//! Chromium, driven by its own chromedriver, both killed with the test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use thirtyfour::prelude::*;

use crate::support::required;

/// No page takes longer.
const ENOUGH: Duration = Duration::from_secs(20);

/// A browser with a profile of its own that resolves no name: nothing can leave this host.
pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
    _chromedriver: Chromedriver,
    _home: TempDir,
}

struct Chromedriver(Child);

impl Drop for Chromedriver {
    fn drop(&mut self) {
        // Its process group: the browser with all its children.
        let group = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.0.wait();
    }
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let (port, chromedriver) = chromedriver(home.path());
        let mut capabilities = DesiredCapabilities::chrome();
        capabilities.set_binary(&path_of("chromium")).unwrap();
        // The server's certificate is of its own making.
        capabilities.accept_insecure_certs(true).unwrap();
        let profile = format!("--user-data-dir={}", home.path().join("profile").display());
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
            "--window-size=1280,900",
            &profile,
        ] {
            capabilities.add_arg(argument).unwrap();
        }
        let driver = WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities)
            .await
            .unwrap();
        Browser {
            driver,
            _chromedriver: chromedriver,
            _home: home,
        }
    }

    /// The element, as soon as it is there.
    pub(crate) async fn find(&self, css: &str) -> WebElement {
        let query = self.driver.query(By::Css(css)).wait(ENOUGH, Duration::from_millis(50));
        query.first().await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Waits until the element's text has these words.
    pub(crate) async fn reads(&self, css: &str, words: &str) {
        let begun = std::time::Instant::now();
        loop {
            // A live part may be replaced between the two.
            let text = self.find(css).await.text().await.unwrap_or_default();
            if text.contains(words) {
                return;
            }
            assert!(begun.elapsed() < ENOUGH, "{css} never says {words:?}: {text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn script(&self, script: &str) -> serde_json::Value {
        self.driver.execute(script, Vec::new()).await.unwrap().json().clone()
    }

    /// A browser of this width whose reader likes it `light` or `dark`.
    pub(crate) async fn looks(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        let cdp = self.driver.cdp();
        cdp.send_raw("Emulation.setDeviceMetricsOverride", size).await.unwrap();
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        cdp.send_raw("Emulation.setEmulatedMedia", features).await.unwrap();
    }
}

/// On a port of its own choice, which it says.
fn chromedriver(home: &Path) -> (u16, Chromedriver) {
    use std::os::unix::process::CommandExt;
    let mut child = Command::new(required("chromedriver"))
        .arg("--port=0")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let chromedriver = Chromedriver(child);
    let port = output.lines().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    (port.expect("chromedriver says its port"), chromedriver)
}

/// Where a program is: chromedriver wants to know.
fn path_of(program: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(required(program)));
    found
        .filter(|file| file.is_file())
        .map(|file| file.display().to_string())
        .next()
        .unwrap()
}
