//! The simulator's page in a real browser: what is shown at a moment, by pointer and by key, in
//! light and in dark, and that nothing is fetched.

#![allow(clippy::unwrap_used, reason = "every line of this program is a test")]

use std::process::{Command, ExitCode};
use std::{env, fs};

use dormouse_tests::program::{self, Scratch, checkout};
use libtest_mimic::{Arguments, Completion, Trial};
use serde_json::Value;

use browser::{Browser, PROGRAM};

mod browser;

/// Ten minutes, so that each of the chart's 600 bins is a second.
const SCENARIO: &str = "sim/scenarios/flash-crowd.toml";
const END_S: f64 = 600.0;

/// In the midst of the crowd: pods are too few, more are on their way, and requests are held.
const MOMENT_S: f64 = 250.0;
const MOMENT: &str = "4m10s";
const MOMENT_ENDS: &str = "4m11s";

/// The width of a chart, and where its plots begin and end, in units of its own.
const CHART: (f64, f64, f64) = (960.0, 56.0, 946.0);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![Trial::ignorable_test("a_page_tells_a_moment_and_fetches_nothing", || {
        if !Command::new(PROGRAM).arg("--version").output().is_ok_and(|it| it.status.success()) {
            let objection = format!("{PROGRAM} is missing: tests/run installs it");
            assert_ne!(env::var("CI").as_deref(), Ok("true"), "{objection}");
            return Ok(Completion::ignored_with(objection));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(a_page_tells_a_moment_and_fetches_nothing());
        Ok(Completion::Completed)
    })];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What `sim` printed.
fn sim(folder: &Scratch, arguments: &[&str]) -> String {
    let mut command = Command::new(program::dormouse());
    let output = command.arg("sim").args(arguments).current_dir(folder.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What the first policy's pods, decision and load were at the moment, as those parts of the
/// simulator tell it that draw no page.
struct Known {
    decided_at: String,
    decision: String,
    ready: String,
    desired: String,
    arrived: String,
    held: String,
}

impl Known {
    fn of(folder: &Scratch) -> Self {
        let arguments = ["explain", "scenario.toml", "--policy", "kpa", "--at", MOMENT];
        let told = sim(folder, &arguments);
        let [_, at, decision] = told.lines().collect::<Vec<_>>()[..] else {
            panic!("{told}");
        };
        // As in "tick: scale to 5; …, 3 of 3 ready".
        let word = |part: &str, from_end: usize| part.rsplit(' ').nth(from_end).unwrap().to_owned();
        Self {
            decided_at: at.trim().to_owned(),
            decision: decision.trim().to_owned(),
            ready: word(decision, 3),
            desired: word(decision.split(';').next().unwrap(), 0),
            arrived: figure(folder, "arrived"),
            held: figure(folder, "held.max"),
        }
    }
}

/// A figure of the moment alone: of a run that ends with it, counted from where it begins.
fn figure(folder: &Scratch, metric: &str) -> String {
    let assertion = format!("{metric} < 0 after {MOMENT}");
    let arguments = ["run", "ends.toml", "--policy", "kpa", "--seed", "1", "--assert", &assertion];
    let told = sim(folder, &arguments);
    let line = told.lines().find(|line| line.contains(&assertion)).unwrap();
    // As in "FAILED  kpa: … < 0 after …: 72 against 0, …".
    let figure = line.split(" against ").next().unwrap().rsplit(' ').next();
    figure.unwrap().to_owned()
}

async fn a_page_tells_a_moment_and_fetches_nothing() {
    let folder = Scratch::new();
    let scenario = fs::read_to_string(checkout().join(SCENARIO)).unwrap();
    let ends = scenario.replace("length = \"8m\"", "length = \"2m11s\"");
    assert_ne!(ends, scenario, "it ends at {MOMENT_ENDS}");
    fs::write(folder.path().join("scenario.toml"), scenario).unwrap();
    fs::write(folder.path().join("ends.toml"), ends).unwrap();
    sim(&folder, &["run", "scenario.toml", "-o", "html=page.html"]);
    let known = Known::of(&folder);
    let mut browser = Browser::start(folder.path()).await;
    let address = format!("file://{}", folder.path().join("page.html").display());
    browser.open(&address).await;
    assert_eq!(browser.text("h1").await, "a flash crowd");

    point_at(&mut browser, MOMENT_S + 0.5).await;
    assert_eq!(browser.text("#way-0 .at").await, format!("{MOMENT} to {MOMENT_ENDS}"));
    let first = browser.text("#way-0 .readout .p0").await;
    let Known { decided_at, decision, ready, desired, arrived, held } = known;
    let least_and_most = format!("–{held} held");
    for want in [
        &decided_at,
        &decision,
        &format!("{ready} ready"),
        &format!("{desired} desired"),
        &format!("{arrived} arrived"),
        &least_and_most,
        "panic",
    ] {
        assert!(first.contains(want), "{want:?} is not in {first:?}");
    }
    assert!(decision.contains(" by panic ") && held != "0", "{decision}, {held} held");

    browser.evaluate("document.querySelector('#way-0 input').focus()").await;
    browser.press("ArrowRight", 39).await;
    let after = browser.text("#way-0 .readout .at").await;
    let named = browser.evaluate("document.activeElement.getAttribute('aria-valuetext')").await;
    assert_eq!(after, format!("{MOMENT_ENDS} to 4m12s"));
    assert_eq!(named, MOMENT_ENDS);
    can_be_read(&mut browser).await;
    let mut opened = vec![address];
    let window = ["--grid", "autoscaling.knative.dev/window=15s,60s"];
    for (command, flags, plot) in [("compare", &[][..], "plot-0"), ("sweep", &window, "frontier")] {
        let page = format!("{command}.html");
        let output = format!("html={page}");
        sim(&folder, &[&[command, "scenario.toml", "-o", &output], flags].concat());
        opened.push(format!("file://{}", folder.path().join(page).display()));
        browser.open(&opened[opened.len() - 1]).await;
        let named = format!("#{plot}-title");
        let named = browser.evaluate(&format!("!!document.querySelector({named:?})")).await;
        assert_eq!(named, true, "{command} has its plot");
        can_be_read(&mut browser).await;
    }
    assert_eq!(browser.requested(), opened);
    assert_eq!(browser.complaints(), [""; 0]);
    browser.end().await;
}

/// In light and in dark.
async fn can_be_read(browser: &mut Browser) {
    let mut papers = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        let faint = browser.evaluate(include_str!("contrast.js")).await;
        assert_eq!(faint, Value::Array(Vec::new()), "too faint when {scheme}");
        papers.push(browser.evaluate("getComputedStyle(document.body).backgroundColor").await);
    }
    assert_ne!(papers[0], papers[1], "light and dark");
}

/// Moves the pointer over the first chart to a time of the run.
async fn point_at(browser: &mut Browser, at_s: f64) {
    let place = "(() => { const chart = document.querySelector('#way-0 svg'); \
                 chart.scrollIntoView(); const box = chart.getBoundingClientRect(); \
                 return [box.left, box.top, box.width, box.height]; })()";
    let place = browser.evaluate(place).await;
    let place: Vec<f64> = serde_json::from_value(place).unwrap();
    let (width, left, right) = CHART;
    let x = (left + (right - left) * at_s / END_S) / width;
    browser.point(place[0] + x * place[2], place[1] + place[3] / 2.0).await;
}
