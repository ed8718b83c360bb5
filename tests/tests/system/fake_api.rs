//! The fake API server does what Dormouse counts on of a real one.

use dormouse_tests::contract::{CONTRACT, Server};
use dormouse_tests::fake_api::{FakeApi, History};
use dormouse_tests::program::Scratch;

#[test]
fn the_fake_api_server_keeps_the_contract() {
    let (api, scratch) = (FakeApi::start(), Scratch::new());
    api.cut(History::Forgotten);
    let server = Server::new(&api.kubeconfig(scratch.path()), "default");
    for part in CONTRACT {
        part(&server);
    }
}
