import { Anchor, Badge, Card, createTheme, type CSSVariablesResolver, Modal, Table } from '@mantine/core';
import type { MantineColor } from '@mantine/core';
import type { ApplicationStatus, RiskBand } from './api/types';

export const theme = createTheme({
    primaryColor: 'cyan',
    primaryShade: 9,
    autoContrast: true,
    defaultRadius: 'md',
    cursorType: 'pointer',
    fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
    headings: { fontWeight: '650' },
    components: {
        Anchor: Anchor.extend({ defaultProps: { c: 'var(--mantine-color-anchor)' } }),
        Badge: Badge.extend({ defaultProps: { radius: 'sm', variant: 'light', miw: 'max-content', tt: 'none' } }),
        Card: Card.extend({ defaultProps: { withBorder: true, padding: 'lg', radius: 'md' } }),
        Modal: Modal.extend({ defaultProps: { centered: true, overlayProps: { backgroundOpacity: 0.4, blur: 2 } } }),
        Table: Table.extend({ defaultProps: { verticalSpacing: 'sm', highlightOnHover: true } }),
    },
});

/** Colours of texts with a contrast of at least 4.5 to their background (WCAG 2.2, 1.4.3); those of Mantine have less. */
export const cssVariables: CSSVariablesResolver = () => ({
    variables: {
        '--mantine-color-cyan-filled-hover': '#0a5c6b',
        '--mantine-primary-color-filled-hover': '#0a5c6b',
    },
    light: {
        '--mantine-color-dimmed': '#5c636a',
        '--mantine-color-placeholder': '#6b7177',
        '--mantine-color-error': '#c22525',
        '--mantine-color-gray-light-color': '#495057',
        '--mantine-color-red-light-color': '#a51d1d',
        '--mantine-color-orange-light-color': '#9c3a00',
        '--mantine-color-yellow-light-color': '#7a4700',
        '--mantine-color-green-light-color': '#1d6b30',
        '--mantine-color-blue-light-color': '#12579e',
        '--mantine-color-cyan-light-color': '#0a5c6b',
    },
    dark: {
        '--mantine-color-dimmed': '#a6a7ab',
        '--mantine-color-placeholder': '#909296',
        '--mantine-color-error': '#ff8787',
        '--mantine-color-anchor': '#66d9e8',
        '--mantine-color-gray-light-color': '#ced4da',
        '--mantine-color-red-light-color': '#ffc9c9',
        '--mantine-color-orange-light-color': '#ffd8a8',
        '--mantine-color-yellow-light-color': '#ffec99',
        '--mantine-color-green-light-color': '#b2f2bb',
        '--mantine-color-blue-light-color': '#a5d8ff',
        '--mantine-color-cyan-light-color': '#99e9f2',
    },
});

export const STATUS_COLORS: Record<ApplicationStatus, MantineColor> = {
    PENDING: 'gray',
    VALIDATING: 'blue',
    UNDER_REVIEW: 'orange',
    APPROVED: 'green',
    REJECTED: 'red',
    CANCELLED: 'gray',
    COMPLETED: 'cyan',
};

export const RISK_COLORS: Record<RiskBand, MantineColor> = {
    low: 'green',
    medium: 'yellow',
    high: 'orange',
    critical: 'red',
};
