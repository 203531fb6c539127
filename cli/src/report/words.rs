//! The words of a report that are the same in each.

pub(super) const SCENARIO: &str = "A canary, an agent that is no production agent, sent its requests through the proxy in front of each relying party. It was stopped at a random instant while it worked, as every agent is stopped, and its requests went on until each party had rejected them or the time was over.";

pub(super) const AUTHORITY: &str = "Who asked for the drill, as the audit trail has it. Each stop was carried out in this operator's name and is a kill like any other.";

pub(super) const MEASURED: &str = "Time is counted from the instant at which the control plane began to write the stop, so that its own commit is in every figure, to the answer of a request. First rejection: the first party rejected for the first time. Last rejection: every party that rejected did so for good, with no request allowed after. Each percentile is a figure that was measured (nearest rank).";

pub(super) const PARTIES: &str = "Samples are those in which the canary worked at the party before the stop. After ack counts requests that were allowed though they were sent after every connected worker had acknowledged the stop: each is a failure.";

pub(super) const STOPS: &str = "Each stop is a kill with rows in the audit trail and a signed receipt, which says how many workers of the connected proxies acknowledged it. Milliseconds are since the stop; the time until the canary was restored is by the clock of the control plane, and has the length of the sample in it.";

pub(super) const PROOFS: &str = "This file holds the samples with their probes, the receipts, and the records of the drill with the hashes that prove their place in the trail. Its figures follow from these: the verification finds them once more, and names what was changed. It asks no server. Take the key from whoever runs the control plane, on another way than this file.";

pub(super) const MAPPING: &str = "Which clauses a drill is evidence for, and how far. The second column is not the wording of the clause. None of these sets a time within which a stop must be heard, and no figure of this report is a legal limit.";

pub(super) const CLAUSES: [[&str; 3]; 5] = [
    [
        "Regulation (EU) 2024/1689 (AI Act), Article 14(4)(e)",
        "Whoever oversees a high-risk AI system can intervene in it, or interrupt it by a stop button or a similar procedure that brings it to a halt in a safe state.",
        "A stop of one agent, by a named operator, that was carried out and whose effect was measured at each relying party. Whether a halt is safe for what the agent does is not measured, and whether a system is high-risk is not said.",
    ],
    [
        "OWASP AISVS v1.0-C9.6.1",
        "There is a manual kill switch.",
        "It was used as often as there are stops. It ends what the agent can do through the proxies; it does not end the inference of a model.",
    ],
    [
        "OWASP AISVS v1.0-C9.6.3",
        "Its commands go by a channel that is isolated from the agent's runtime.",
        "The stops went from the control plane to the proxies. The canary was not asked, and went on sending requests.",
    ],
    [
        "OWASP AISVS v1.0-C12.4.3",
        "Its activations are logged.",
        "Each has its rows in the audit trail, with operator, time, reason and reach; they are in this file and are proved.",
    ],
    [
        "OWASP AISVS, drafts before 1.0: C14.1.2 and C14.3.1",
        "Tests at a defined frequency confirm the response time; activations are logged with operator, trigger, states and time. Version 1.0 has no chapter C14; its requirements for kill switches are those of C9.6.",
        "This is one such test. How often they are made, one report does not show.",
    ],
];

pub(super) const NOT_SHOWN: [&str; 7] = [
    "Anything about relying parties that are not named here, or about agents that do not act through a proxy of this control plane.",
    "That a production agent is stopped as fast: the canary goes the same way, with a load of its own.",
    "Times without the network: a probe goes from the control plane to the proxy and back. What lies between two probes of a party, a second divided by the rate, is not seen.",
    "That what was recorded is true. It proves that nothing was changed since; a control plane that lies when it writes is believed.",
    "The decisions of the proxies on each request. They are in the audit trail: `kya audit check-kills` says whether it has any that allowed something past a kill.",
    "That it is the newest drill, or that others passed: `kya drill list` and the trail have them all.",
    "Compliance with any law or standard. That is for whoever judges the whole system.",
];
