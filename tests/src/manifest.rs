//! A function's manifest: a Deployment and the Service in front of it, as YAML text.

use std::fmt::Write as _;

use crate::program;

/// A function to be written as YAML. It starts at zero and has a six-second window unless told
/// otherwise.
#[derive(Clone)]
pub struct Function {
    name: String,
    replicas: u32,
    annotations: Vec<(String, String)>,
    command: Vec<String>,
    env: Vec<(String, String)>,
    readiness: Option<String>,
    service_port: u16,
}

impl Function {
    /// A function of this name that runs the fixture in the given way.
    #[must_use]
    pub fn fixture(name: &str, way: &[&str]) -> Self {
        Self::running(name, &program::fixture().to_string_lossy(), way)
    }

    /// A function of this name that runs `dormouse demo` with these arguments.
    #[must_use]
    pub fn demo(name: &str, arguments: &[&str]) -> Self {
        let arguments: Vec<&str> =
            std::iter::once("demo").chain(arguments.iter().copied()).collect();
        Self::running(name, &program::dormouse().to_string_lossy(), &arguments)
    }

    /// A function of this name that runs any program.
    #[must_use]
    pub fn running(name: &str, program: &str, arguments: &[&str]) -> Self {
        let command =
            std::iter::once(program).chain(arguments.iter().copied()).map(str::to_owned).collect();
        Self {
            name: name.to_owned(),
            replicas: 0,
            annotations: Vec::new(),
            command,
            env: Vec::new(),
            readiness: None,
            service_port: 80,
        }
        .annotated("dormouse.dev/enabled", "true")
        .annotated("autoscaling.knative.dev/window", "6s")
    }

    /// The same without a command.
    #[must_use]
    pub fn without_command(mut self) -> Self {
        self.command.clear();
        self
    }

    /// With that many replicas to start with.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    /// With that annotation; a key given before is replaced.
    #[must_use]
    pub fn annotated(mut self, key: &str, value: &str) -> Self {
        self.annotations.retain(|(present, _)| present != key);
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With that environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With an HTTP readiness probe of that path, tried each second.
    #[must_use]
    pub fn ready_at(mut self, path: &str) -> Self {
        self.readiness = Some(path.to_owned());
        self
    }

    /// With that Service port.
    #[must_use]
    pub fn service_port(mut self, port: u16) -> Self {
        self.service_port = port;
        self
    }

    /// The Deployment and the Service.
    #[must_use]
    pub fn yaml(&self) -> String {
        let Self { name, replicas, .. } = self;
        let mut annotations = String::new();
        for (key, value) in &self.annotations {
            line(&mut annotations, &format!("    {key}: {}", quoted(value)));
        }
        let mut container = String::new();
        if !self.command.is_empty() {
            let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
            line(&mut container, &format!("          command: [{}]", words.join(", ")));
        }
        if !self.env.is_empty() {
            line(&mut container, "          env:");
        }
        for (name, value) in &self.env {
            let value = quoted(value);
            line(&mut container, &format!("            - {{name: {name}, value: {value}}}"));
        }
        if let Some(path) = &self.readiness {
            let get = format!("{{path: {path}, port: http}}");
            line(
                &mut container,
                &format!("          readinessProbe: {{httpGet: {get}, periodSeconds: 1}}"),
            );
        }
        let service_port = self.service_port;
        format!(
            "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  annotations:
{annotations}\
spec:
  replicas: {replicas}
  selector:
    matchLabels: {{app: {name}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      containers:
        - name: app
          image: example.invalid/app
          ports:
            - {{name: http, containerPort: 8080}}
{container}\
---
apiVersion: v1
kind: Service
metadata:
  name: {name}
spec:
  selector: {{app: {name}}}
  ports:
    - {{name: http, port: {service_port}, targetPort: http}}
"
        )
    }
}

/// Several functions in one file.
#[must_use]
pub fn file(functions: &[&Function]) -> String {
    let documents: Vec<String> = functions.iter().map(|function| function.yaml()).collect();
    documents.join("---\n")
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes all that is written");
}

// A JSON string is a double-quoted YAML scalar.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
