//! A list of host names.

/// Most hosts of one function: each is an entry of every activator's route table.
const HOSTS_MAX: usize = 64;

/// Longest name and longest part of a name that DNS can carry.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The names, lower case, each once, in order; else the rule that `text` breaks.
pub(super) fn parse(text: &str) -> Result<Vec<String>, String> {
    let mut hosts: Vec<String> = Vec::new();
    for host in text.split(',') {
        let host = host.trim().to_ascii_lowercase();
        if !is_dns_name(&host) {
            return Err(format!(
                "must be DNS names separated by commas, without port; {host:?} is none"
            ));
        }
        if !hosts.contains(&host) {
            hosts.push(host);
        }
        if hosts.len() > HOSTS_MAX {
            return Err(format!("must be at most {HOSTS_MAX} names"));
        }
    }
    Ok(hosts)
}

/// A name of letters, digits and inner hyphens. The last part is not all digits: that would be an
/// IP address.
fn is_dns_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= NAME_BYTES_MAX
        && host.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}
