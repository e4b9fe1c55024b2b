import { screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, expect, test } from 'vitest';
import { chooseLanguage } from '../../src/i18n/i18n';
import { SettingsCard } from '../../src/pages/account/settings';
import { useAppliedSettings } from '../../src/session/settings';
import { Time } from '../../src/ui/text';
import { type Received, serve, show } from './render';

const STORED = { language: null, time_zone: null, theme: 'auto' };
const NOON = '2026-01-31T12:00:00.000000Z';

/** A server that stores settings, as the account has them. */
function server(first: object, refuse?: object): Received[] {
    let stored = first;
    return serve(({ method, body }) => {
        if (method === 'PUT' && refuse) return { status: 422, body: refuse };
        if (method === 'PUT') stored = body as object;
        return { status: 200, body: stored };
    });
}

function Page() {
    useAppliedSettings();
    return (
        <>
            <Time time={NOON} />
            <SettingsCard />
        </>
    );
}

afterEach(async () => {
    await chooseLanguage('en');
});

test('the settings of the server are applied: language, time zone and theme', async () => {
    server({ language: 'es', time_zone: 'Asia/Tokyo', theme: 'dark' });
    await show(Page);
    await screen.findByRole('heading', { name: 'Ajustes' });
    await waitFor(() => expect(document.documentElement.dataset['mantineColorScheme']).toBe('dark'));
    expect(document.documentElement.lang).toBe('es');
    const time = document.querySelector('time')?.textContent ?? '';
    expect(time).toContain('21:00');
    expect(time).toContain('GMT+9');
});

test('saved settings are sent to the server and apply at once', async () => {
    const received = server(STORED);
    await show(Page);
    const user = userEvent.setup();
    await user.selectOptions(await screen.findByLabelText('Language'), 'it');
    await user.type(screen.getByRole('combobox', { name: 'Time zone' }), 'Bogota');
    await user.click(await screen.findByText('America/Bogota'));
    await user.selectOptions(screen.getByLabelText('Theme'), 'dark');
    await user.click(screen.getByRole('button', { name: 'Save settings' }));
    await screen.findByRole('heading', { name: 'Impostazioni' });
    const saved = received.filter(({ method }) => method === 'PUT');
    expect(saved.map(({ body }) => body)).toEqual([{ language: 'it', time_zone: 'America/Bogota', theme: 'dark' }]);
    expect(document.documentElement.dataset['mantineColorScheme']).toBe('dark');
    expect(document.querySelector('time')?.textContent).toContain('07:00');
});

test('a time zone that the server does not know is marked, and nothing changes', async () => {
    const problem = {
        type: '/problems/validation_failed',
        title: '',
        detail: '',
        code: 'validation_failed',
        status: 422,
        errors: [{ pointer: '/time_zone', code: 'unknown_time_zone', detail: '' }],
    };
    server(STORED, problem);
    await show(Page);
    const user = userEvent.setup();
    await user.type(await screen.findByRole('combobox', { name: 'Time zone' }), 'Bogota');
    await user.click(await screen.findByText('America/Bogota'));
    await user.click(screen.getByRole('button', { name: 'Save settings' }));
    await screen.findByText('Not a known time zone');
    expect(document.querySelector('time')?.textContent).not.toContain('07:00');
});
