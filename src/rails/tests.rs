//! The messages of every rail.

use chrono::DateTime;

use super::*;
use crate::domain::disbursement::rail::PaymentStatus;

fn payment(rail: Rail, value: &str) -> Payment {
    Payment {
        key: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
        amount: Money::parse("15000.5").unwrap(),
        currency: "EUR",
        destination: Destination::new(
            rail.destination(),
            value.to_owned(),
            "María <Pérez> & Núñez".to_owned(),
        ),
        started_at: DateTime::from_timestamp(1_769_860_800, 0).unwrap(),
    }
}

fn samples() -> [Payment; 4] {
    [
        payment(Rail::Sepa, "ES9121000418450200051332"),
        payment(Rail::Spei, "032180000118359719"),
        payment(Rail::Pix, "ana@example.com"),
        payment(Rail::CoAch, "1007-A-12345678901"),
    ]
}

#[test]
fn submissions_have_the_format_of_their_rail() {
    let messages = Rail::ALL.iter().zip(samples()).map(|(rail, payment)| {
        let message = adapter(*rail).submit(&payment);
        format!("{} {}\n{}\n", rail.as_str(), message.content_type, message.body)
    });
    insta::assert_snapshot!(messages.collect::<String>());
}

#[test]
fn simulated_rails_read_every_submission_and_their_answers_are_read_back() {
    for (rail, payment) in Rail::ALL.iter().zip(samples()) {
        let adapter = adapter(*rail);
        let read = simulator::read_submission(*rail, &adapter.submit(&payment).body).unwrap();
        assert_eq!(
            read,
            (compact_key(payment.key), payment.destination.reveal().to_owned(), "15000.50".to_owned())
        );
        for status in PaymentStatus::ALL.iter().filter(|status| **status != PaymentStatus::NotFound) {
            let body = simulator::write_status(*rail, &compact_key(payment.key), *status, Some("AC04"));
            let answer = adapter.read_status(payment.key, &body).unwrap();
            assert_eq!((answer.status, answer.reason.as_deref()), (*status, Some("AC04")), "{rail:?}");
            assert!(adapter.read_status(Uuid::nil(), &body).is_err(), "{rail:?}");
        }
    }
}

#[test]
fn malformed_answers_are_refused() {
    for rail in Rail::ALL {
        for body in ["", "{}", "<Document/>", ";;;", "[]", "01890a5dac96774bbcceb302099a8057;X;;"] {
            let key = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
            assert!(adapter(*rail).read_status(key, body).is_err(), "{rail:?} {body}");
        }
    }
}
