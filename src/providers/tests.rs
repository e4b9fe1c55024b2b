//! Properties of all adapters, and hand-written bodies for each.

use proptest::prelude::*;

use super::*;
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::money::Money;

fn subject(name: &str, document: &str) -> Subject {
    Subject {
        full_name: FullName::from_storage(name.to_owned()),
        identity_document: IdentityDocument::from_normalized(document.to_owned()),
    }
}

fn parse(country: Country, body: &str) -> Result<BankingData, MalformedReport> {
    provider_for(country).parse(body.as_bytes())
}

/// A complete report of each bureau, over several lines and with parts that the adapters ignore.
const FULL: [(Country, &str); 6] = [
    (
        Country::Es,
        r#"{
            "referencia_informe": "R-1", "divisa": "EUR", "fecha": "2026-01-31",
            "titular": {"nombre_completo": "Ana Ruiz"},
            "situacion_cuentas": "BLOQUEADA", "puntuacion": 640,
            "cirbe": {"riesgo_total": "12345.60", "cuota_mensual": "410.05", "numero_operaciones": 4, "avales": []},
            "asnef": {"impagos_vigentes": true, "numero_impagos": 2}
        }"#,
    ),
    (
        Country::Pt,
        r#"<?xml version="1.0" encoding="UTF-8"?>
           <!-- mapa mensal -->
           <crc:respostaCRC xmlns:crc="urn:bportugal:crc:1">
             <crc:cabecalho><crc:referencia>R-1</crc:referencia><crc:data>2026-01-31</crc:data></crc:cabecalho>
             <crc:responsabilidades moeda="EUR">
               <crc:prestacaoMensal>410.05</crc:prestacaoMensal>
               <crc:montanteTotal>12345.60</crc:montanteTotal>
               <crc:numeroContratos>4</crc:numeroContratos>
             </crc:responsabilidades>
             <crc:incumprimento>S</crc:incumprimento>
             <crc:situacaoContas>SUSPENSA</crc:situacaoContas>
             <crc:classificacao>640</crc:classificacao>
             <crc:observacoes><crc:linha>x</crc:linha><crc:linha>y</crc:linha></crc:observacoes>
           </crc:respostaCRC>
        "#,
    ),
    (
        Country::It,
        r#"{
            "esito": {"codice": "OK", "protocollo": "R-1"},
            "rapporto": {
                "valuta": "EUR", "punteggio": {"valore": 640, "scala": "300-850", "fascia": "C"},
                "posizione": {"stato": "SOSPESO", "numeroRapporti": 4},
                "esposizione": {"debitoResiduo": 1234560, "rataMensile": 41005},
                "redditoMedioMensile": 210099, "sofferenze": {"presenti": true}
            }
        }"#,
    ),
    (
        Country::Mx,
        "INTL14R-1                      MXMXNPN06LOPEZ*0203ANARS02010004000401120000012\
         3456002120000000410050302SU0401STL020101046500SC08BC SCORE000300701040640ES05001660002**",
    ),
    (
        Country::Co,
        r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">
             <s:Header/>
             <s:Body>
               <consultarHistoriaResponse xmlns="urn:datacredito:historia-de-credito:2">
                 <Informe consecutivo="R-1" fechaConsulta="2026-01-31" verificado="N" estadoCuentas="EMBARGADA">
                   <Endeudamiento moneda="COP" saldoTotal="12345.60" cuotaMensual="410.05" obligaciones="4"/>
                   <Ingreso promedioMensual="2100.99" moneda="COP"></Ingreso>
                   <Score puntaje="645" tipo="ACIERTA"/>
                   <Mora vigente="S" dias="90"/>
                 </Informe>
               </consultarHistoriaResponse>
             </s:Body>
           </s:Envelope>"#,
    ),
    (
        Country::Br,
        r#"{"optionalFeatures": null, "reports": [{
            "reportId": "R-1", "score": {"score": 618, "model": "HSPN"}, "situacaoConta": "BLOQUEADA",
            "compromissos": {"dividaTotal": "12.345,60", "parcelaMensal": "410,05", "contratos": 4},
            "rendaMediaMensal": "2.100,99", "negativacoes": {"ativas": "SIM", "lista": [1, 2]}
        }]}"#,
    ),
];

/// The smallest valid report: an envelope that contains only a reference.
const BARE: [(Country, &str); 6] = [
    (Country::Es, r#"{"referencia_informe": "R-2", "divisa": "EUR", "puntuacion": null, "asnef": {}}"#),
    (Country::Pt, "<respostaCRC><cabecalho><referencia>R-2</referencia></cabecalho></respostaCRC>"),
    (Country::It, r#"{"esito": {"protocollo": "R-2"}, "rapporto": {"valuta": "EUR", "sofferenze": {}}}"#),
    (Country::Mx, "INTL14R-2                      MXMXNES05000510002**"),
    (
        Country::Co,
        "<Envelope><Body><consultarHistoriaResponse><Informe consecutivo='R-2'/>\
         </consultarHistoriaResponse></Body></Envelope>",
    ),
    (Country::Br, r#"{"reports": [{"reportId": "R-2", "negativacoes": {"ativas": null}}]}"#),
];

#[test]
fn every_country_has_its_own_bureau() {
    let names: Vec<_> = Country::ALL.into_iter().map(|country| provider_for(country).name()).collect();
    assert_eq!(
        names,
        ["ASNEF-CIRBE", "Banco de Portugal", "CRIF", "Buró de Crédito", "DataCrédito", "Serasa Experian"]
    );
    for country in Country::ALL {
        assert_eq!(provider_for(country).country(), country);
    }
}

#[test]
fn a_complete_report_is_parsed_exactly() {
    for (country, body) in FULL {
        let mut expected = BankingData::empty(provider_for(country).name());
        expected.account_status = Some(AccountStatus::Suspended);
        expected.credit_score = CreditScore::new(640);
        expected.total_debt = Money::parse("12345.60").ok();
        expected.monthly_obligations = Money::parse("410.05").ok();
        expected.has_defaults = Some(true);
        if matches!(country, Country::It | Country::Co | Country::Br) {
            expected.average_monthly_income = Money::parse("2100.99").ok();
        }
        expected.verified = (country == Country::Co).then_some(false);
        expected.additional_data.insert("report_reference".to_owned(), "R-1".into());
        expected.additional_data.insert("number_of_accounts".to_owned(), 4.into());
        assert_eq!(parse(country, body), Ok(expected), "{country}");
    }
}

#[test]
fn white_space_around_xml_text_is_ignored() {
    for country in [Country::Pt, Country::Co] {
        let (_, full) = FULL.into_iter().find(|(c, _)| *c == country).unwrap();
        let values = [
            "R-1",
            "640",
            "645",
            "12345.60",
            "410.05",
            ">4<",
            "\"4\"",
            ">S<",
            "\"S\"",
            "\"N\"",
            "EUR",
            "COP",
            "SUSPENSA",
            "EMBARGADA",
            "2100.99",
        ];
        let mut spaced = full.to_owned();
        for value in values.into_iter().filter(|value| full.contains(value)) {
            let bare = value.trim_matches(['<', '>', '"']);
            spaced = spaced.replace(value, &value.replace(bare, &format!(" \r\n\t{bare}\n ")));
        }
        assert_eq!(parse(country, &spaced), parse(country, full), "{country}");
        let apart = full.replacen("640", "64 0", 1).replacen("645", "64 5", 1);
        assert!(parse(country, &apart).is_err(), "{country}: white space inside a number");
    }
}

#[test]
fn omitted_values_are_unknown() {
    for (country, body) in BARE {
        let mut expected = BankingData::empty(provider_for(country).name());
        expected.additional_data.insert("report_reference".to_owned(), "R-2".into());
        assert_eq!(parse(country, body), Ok(expected), "{country}");
    }
}

#[test]
fn an_unrecognized_account_state_is_unknown() {
    for (country, body) in FULL {
        let known = ["BLOQUEADA", "SUSPENSA", "SOSPESO", "0302SU", "EMBARGADA"];
        let word = known.into_iter().find(|word| body.contains(word)).unwrap();
        let strange = if country == Country::Mx { "0302ZZ" } else { "OTRA" };
        let data = parse(country, &body.replace(word, strange)).unwrap();
        assert_eq!(data.account_status, Some(AccountStatus::Unknown), "{country}");
    }
}

/// Replaces a part of the complete report and expects a rejection.
fn refuses(country: Country, part: &str, instead: &str) {
    let (_, full) = FULL.into_iter().find(|(c, _)| *c == country).unwrap();
    assert!(full.contains(part), "{country} has no {part}");
    let body = full.replacen(part, instead, 1);
    assert!(parse(country, &body).is_err(), "{country} took {instead} for {part}");
}

#[test]
fn wrong_types_and_out_of_range_values_are_rejected() {
    for (country, part, instead) in [
        (Country::Es, "640", "851"),
        (Country::Es, "640", "299"),
        (Country::Es, "640", "640.5"),
        (Country::Es, "640", "\"640\""),
        (Country::Es, "640", "99999999999999999999"),
        (Country::Es, "\"12345.60\"", "12345.60"),
        (Country::Es, "12345.60", "12.345,60"),
        (Country::Es, "12345.60", "-12345.60"),
        (Country::Es, "12345.60", "12345678901.00"),
        (Country::Es, "410.05", "410.055"),
        (Country::Es, "410.05", "4e2"),
        (Country::Es, "410.05", ""),
        (Country::Es, "true", "\"true\""),
        (Country::Es, "EUR", "USD"),
        (Country::Es, ": 4,", ": -4,"),
        (Country::Es, "R-1", "Ana Ruiz 12345678Z"),
        (Country::Es, "\"fecha\"", "\"divisa\": \"EUR\", \"fecha\""),
        (Country::Pt, "640", "0x1F4"),
        (Country::Pt, "640", "+640"),
        (Country::Pt, "640", "900"),
        (Country::Pt, ">640<", "><"),
        (Country::Pt, "12345.60", "12 345,60"),
        (Country::Pt, "12345.60", "<b>12345.60</b>"),
        (Country::Pt, "410.05", "NaN"),
        (Country::Pt, ">S<", ">Sim<"),
        (Country::Pt, "EUR", "PTE"),
        (Country::Pt, " moeda=\"EUR\"", ""),
        (Country::Pt, "<crc:incumprimento>", "<crc:incumprimento>N</crc:incumprimento><crc:incumprimento>"),
        (Country::Pt, "12345.60", "&debt;"),
        (Country::It, "1234560", "12345.60"),
        (Country::It, "1234560", "-1"),
        (Country::It, "1234560", "1000000000000"),
        (Country::It, "1234560", "\"1234560\""),
        (Country::It, "640", "640.0"),
        (Country::It, "300-850", "0-1000"),
        (Country::It, "EUR", "ITL"),
        (Country::It, "true", "1"),
        (Country::Mx, "0640", "0900"),
        (Country::Mx, "0640", "06.0"),
        (Country::Mx, "000001234560", "0000012345.6"),
        (Country::Mx, "000001234560", "           1"),
        (Country::Mx, "0401S", "0401X"),
        (Country::Mx, "MXMXN", "MXUSD"),
        (Country::Mx, "0302SU", "0352SU"),
        (Country::Mx, "00166", "00167"),
        (Country::Co, "645", "149"),
        (Country::Co, "645", "951"),
        (Country::Co, "645", ""),
        (Country::Co, "\"N\"", "\"no\""),
        (Country::Co, "12345.60", "$12345.60"),
        (Country::Co, "saldoTotal", "moneda=\"COP\" saldoTotal"),
        (Country::Co, "COP", "USD"),
        (Country::Co, "consecutivo=\"R-1\"", ""),
        (Country::Br, "618", "1001"),
        (Country::Br, "618", "-1"),
        (Country::Br, "12.345,60", "12345.60"),
        (Country::Br, "12.345,60", "12.345.60"),
        (Country::Br, "410,05", "410"),
        (Country::Br, "SIM", "sim"),
        (Country::Br, "\"reports\": [", "\"reports\": [{\"reportId\": \"R-0\"}, "),
    ] {
        refuses(country, part, instead);
    }
}

#[test]
fn other_bodies_are_rejected() {
    let html = "<!DOCTYPE html><html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>";
    let flood = "9".repeat(report_body::MAX_BYTES + 1);
    let deep_json = "[".repeat(100_000);
    let deep_xml = "<respostaCRC>".repeat(15_000);
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><respostaCRC><cabecalho><referencia>&b;\
                </referencia></cabecalho></respostaCRC>";
    for country in Country::ALL {
        for body in [
            "",
            " \r\n",
            "null",
            "{}",
            "[]",
            "0",
            "\"\"",
            "{\"reports\": []}",
            html,
            &flood,
            &deep_json,
            &deep_xml,
            bomb,
            "<respostaCRC/>",
            "<Envelope><Body><Fault><faultcode>x</faultcode></Fault></Body></Envelope>",
            "INTL14",
            "ERRR",
            "\0\0\0\0",
        ] {
            assert!(parse(country, body).is_err(), "{country}: {:.60}", body);
        }
    }
}

#[test]
fn ignored_parts_may_have_any_content() {
    let nested = format!("{}{}", "<x y=\"1\">".repeat(12_000), "</x>".repeat(12_000));
    for (country, part) in [(Country::Pt, "<crc:incumprimento>"), (Country::Co, "<Score ")] {
        let (_, full) = FULL.into_iter().find(|(c, _)| *c == country).unwrap();
        let body = full.replacen(part, &format!("{nested}<![CDATA[ ]]>{part}"), 1);
        assert_eq!(parse(country, &body), parse(country, full), "{country}");
    }
    let nested = format!("{}{}", "[".repeat(120), "]".repeat(120));
    for (country, part) in [(Country::Es, "[]"), (Country::Br, "[1, 2]"), (Country::It, "\"C\"")] {
        let (_, full) = FULL.into_iter().find(|(c, _)| *c == country).unwrap();
        assert_eq!(parse(country, &full.replacen(part, &nested, 1)), parse(country, full), "{country}");
    }
}

#[test]
fn other_encodings_are_rejected() {
    for (country, body) in FULL {
        let utf16: Vec<u8> = body.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let latin1 = [body.as_bytes(), b" \xe9"].concat();
        let marked = ["\u{feff}".as_bytes(), body.as_bytes()].concat();
        assert!(provider_for(country).parse(&utf16).is_err(), "{country}");
        assert!(provider_for(country).parse(&latin1).is_err(), "{country}");
        // XML allows a byte order mark; JSON (RFC 8259, 8.1) and INTL do not.
        let marked_is_read = provider_for(country).parse(&marked).is_ok();
        assert_eq!(marked_is_read, matches!(country, Country::Pt | Country::Co), "{country}");
    }
}

#[test]
fn trailing_data_is_rejected() {
    for (country, body) in FULL {
        for tail in ["x", "{}", "<a/>", body] {
            assert!(parse(country, &format!("{}{tail}", body.trim_end())).is_err(), "{country}: {tail:.20}");
        }
    }
}

#[test]
fn error_texts_never_quote_the_body() {
    let secret = "PEREZ12345678Z";
    for (country, part) in [
        (Country::Es, "640"),
        (Country::Es, "\"12345.60\""),
        (Country::Es, "\"R-1\""),
        (Country::Pt, "640"),
        (Country::Pt, "EUR"),
        (Country::It, "1234560"),
        (Country::Co, "645"),
        (Country::Br, "SIM"),
        (Country::Br, "12.345,60"),
    ] {
        let (_, full) = FULL.into_iter().find(|(c, _)| *c == country).unwrap();
        for value in [format!("\"{secret}\""), format!("{secret}!"), format!("{{\"{secret}\": 1}}")] {
            if let Err(MalformedReport(text)) = parse(country, &full.replacen(part, &value, 1)) {
                assert!(!text.contains("PEREZ"), "{country}: {text}");
            }
        }
    }
}

#[test]
fn requests_escape_the_name_and_keep_documents_out_of_the_path() {
    let awkward = "Zoë \"O'Hara\" <b>&amp; \\ Núñez";
    for country in Country::ALL {
        let request = provider_for(country).request(&subject(awkward, "12345678Z"));
        let body = String::from_utf8(request.body).unwrap();
        assert!(request.path.starts_with('/') && !request.path.contains("12345678Z"));
        assert_eq!(body.matches("12345678Z").count(), 1, "{country}");
        assert_eq!(body.is_ascii(), country == Country::Mx, "{country}");
        if request.content_type.contains("json") {
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(value.to_string().contains("Núñez"), "{country}");
        }
        if request.content_type.contains("xml") {
            assert!(body.contains("&lt;b&gt;&amp;amp;") && !body.contains("<b>"), "{country}: {body}");
        }
    }
}

#[test]
fn the_spanish_request_distinguishes_dni_and_nie() {
    let kind = |document| {
        let body = provider_for(Country::Es).request(&subject("Ana", document)).body;
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        value["titular"]["tipo_documento"].as_str().unwrap().to_owned()
    };
    assert_eq!(kind("12345678Z"), "DNI");
    assert_eq!(kind("X1234567L"), "NIE");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_cause_a_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        for country in Country::ALL {
            prop_assert!(provider_for(country).parse(&body).is_err());
        }
    }

    #[test]
    fn no_text_with_format_characters_causes_a_panic(
        body in "(INTL14 {25}MXMXN)?([<>{}\\[\\]\"':,/=&;]|RS02|SC08|ES05|0[0-9]{3}|Envelope|respostaCRC|reports| ){0,60}",
    ) {
        for country in Country::ALL {
            let _ = parse(country, &body);
        }
    }

    #[test]
    fn no_name_breaks_a_request(name in "\\PC{1,255}") {
        for country in Country::ALL {
            prop_assert!(!provider_for(country).request(&subject(&name, "1234567890")).body.is_empty());
        }
    }
}
