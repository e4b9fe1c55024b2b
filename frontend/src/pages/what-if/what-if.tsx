import { Anchor, Grid } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { Link, useSearch } from '@tanstack/react-router';
import { useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';
import { applicationQuery, countriesQuery, decisionQuery } from '../../api/queries';
import type { CountryCode, Schema } from '../../api/types';
import { Page } from '../../ui/page';
import { QueryView } from '../../ui/states';
import { caseOf, type Figures, figuresOf, type Outcome, sliderEnds, usualFigures } from './figures';
import { FigureForm } from './form';
import { Result } from './result';

/** Wait after the last movement before a case is evaluated, in milliseconds. */
const DEBOUNCE_MS = 250;

type Country = Schema<'CountryDescription'>;

/** Shows what the rules would decide with other figures. Nothing is stored. */
export function WhatIfPage() {
    const { t } = useTranslation();
    const { application: id } = useSearch({ from: '/console/what-if' });
    const countries = useQuery(countriesQuery());
    return (
        <Page title={t('what_if.title')} subtitle={t('what_if.hint')}>
            <QueryView query={countries}>
                {(all) => (id ? <FromApplication key={id} id={id} countries={all} /> : <FromCountry countries={all} />)}
            </QueryView>
        </Page>
    );
}

function FromCountry({ countries }: { countries: Country[] }) {
    const [code, setCode] = useState(countries[0]?.code);
    const country = countries.find((each) => each.code === code);
    if (country === undefined) return null;
    return (
        <WhatIf
            key={country.code}
            country={country}
            start={usualFigures(country)}
            choice={{ countries, onChange: setCode }}
        />
    );
}

function FromApplication({ id, countries }: { id: string; countries: Country[] }) {
    const { t } = useTranslation();
    const application = useQuery(applicationQuery(id));
    const decision = useQuery(decisionQuery(id));
    return (
        <QueryView query={application} lines={8}>
            {(read) => {
                const country = countries.find(({ code }) => code === read.country);
                return (
                    country && (
                        <>
                            <Anchor component={Link} to={`/console/applications/${id}`} size="sm">
                                {t('what_if.back', { name: read.full_name })}
                            </Anchor>
                            <WhatIf country={country} start={figuresOf(read)} original={decision.data} />
                        </>
                    )
                );
            }}
        </QueryView>
    );
}

function WhatIf(props: {
    country: Country;
    start: Figures;
    original?: Outcome | undefined;
    choice?: { countries: Country[]; onChange: (code: CountryCode) => void };
}) {
    const { country } = props;
    // The figures at the start stay the same if the application changes meanwhile.
    const [start] = useState(props.start);
    const [figures, setFigures] = useState(start);
    const [settled] = useDebouncedValue(figures, DEBOUNCE_MS);
    const request = useMemo(() => caseOf(settled), [settled]);
    const ends = useMemo(() => sliderEnds(country, start), [country, start]);
    return (
        <Grid gap="lg">
            <Grid.Col span={{ base: 12, lg: 5 }}>
                <FigureForm
                    country={country}
                    figures={figures}
                    ends={ends}
                    choice={props.choice}
                    onChange={setFigures}
                    onReset={() => setFigures(start)}
                    isChanged={figures !== start}
                />
            </Grid.Col>
            <Grid.Col span={{ base: 12, lg: 7 }}>
                <Result
                    request={request}
                    country={country.code}
                    currency={country.currency}
                    original={props.original}
                    isTyping={settled !== figures}
                />
            </Grid.Col>
        </Grid>
    );
}
