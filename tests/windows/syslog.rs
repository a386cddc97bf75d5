//! Syslog by the network, in the way the sockets of Windows are read.

use std::io::Write;
use std::net::TcpStream;
use std::net::UdpSocket;

use end_to_end::agent::Agent;

use crate::agent_stage::By;
use crate::stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Wine: .ci/windows runs it"]
async fn messages_come_by_udp_and_tcp() {
    let stage = stage().await;
    stage.configure(
        &[By::Certificate],
        "[source.syslog.net]\nudp = [\"127.0.0.1:0\"]\ntcp = [\"127.0.0.1:0\"]\n",
    );
    stage.onboard(0).await;
    let agent = Agent::start(&stage.home).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"<13>app: by udp", agent.udp()).unwrap();
    let mut stream = TcpStream::connect(agent.tcp()).unwrap();
    stream.write_all(b"<13>app: by tcp\n<13>app: the second\n").unwrap();
    stage.wait_for_messages(0, "Syslog", &["by udp", "by tcp", "the second"]).await;
    stage.assert_all_is_well().await;
}
