import {
    IconActivity,
    IconAdjustments,
    IconAdjustmentsQuestion,
    IconBroadcast,
    IconCalendarClock,
    IconChartBar,
    IconChecklist,
    IconEye,
    IconFilePlus,
    IconFiles,
    IconKey,
    IconLayoutDashboard,
    IconRoute2,
    IconListDetails,
    IconMailX,
    IconPlugConnected,
    IconSend,
    IconServer2,
    IconShieldLock,
    IconUsers,
    IconWebhook,
} from '@tabler/icons-react';
import type { ParseKeys } from 'i18next';
import type { Role } from '../api/types';

type Icon = typeof IconFiles;

interface Item {
    to: string;
    label: ParseKeys;
    icon: Icon;
    /** The role that the page requires, if it differs from the role of the section. */
    role?: Role;
    /** Whether pages below the path belong to the item. */
    hasPages?: boolean;
}

interface Section {
    title: `nav.${'credit' | 'operations' | 'accounts'}`;
    role: Role;
    items: Item[];
}

/** The pages in the navigation, by the role that may open them. */
export const NAVIGATION: Section[] = [
    {
        title: 'nav.credit',
        role: 'user',
        items: [
            { to: '/console/overview', label: 'overview.title', icon: IconLayoutDashboard },
            { to: '/console/applications', label: 'nav.applications', icon: IconFiles, hasPages: true },
            { to: '/console/reviews', label: 'reviews.title', icon: IconChecklist, role: 'analyst' },
            { to: '/console/new-application', label: 'nav.create', icon: IconFilePlus },
            { to: '/console/what-if', label: 'what_if.title', icon: IconAdjustmentsQuestion, role: 'analyst' },
            { to: '/console/statistics', label: 'nav.statistics', icon: IconChartBar },
        ],
    },
    {
        title: 'nav.operations',
        role: 'admin',
        items: [
            { to: '/console/circuits', label: 'nav.circuits', icon: IconPlugConnected },
            { to: '/console/jobs', label: 'nav.jobs', icon: IconListDetails },
            { to: '/console/lanes', label: 'nav.lanes', icon: IconRoute2 },
            { to: '/console/dead-letters', label: 'nav.dead_letters', icon: IconMailX },
            { to: '/console/events', label: 'events.title', icon: IconBroadcast },
            { to: '/console/webhook-events', label: 'webhook_events.title', icon: IconWebhook },
            { to: '/console/webhook-endpoints', label: 'webhook_endpoints.title', icon: IconSend },
            { to: '/console/schedule', label: 'schedule.title', icon: IconCalendarClock },
            { to: '/console/actors', label: 'actors.title', icon: IconServer2 },
            { to: '/console/log-level', label: 'log_level.title', icon: IconAdjustments },
            { to: '/console/live', label: 'nav.live', icon: IconActivity },
        ],
    },
    {
        title: 'nav.accounts',
        role: 'admin',
        items: [
            { to: '/console/users', label: 'nav.users', icon: IconUsers },
            { to: '/console/api-keys', label: 'nav.api_keys', icon: IconKey },
            { to: '/console/staff-views', label: 'staff_views.title', icon: IconEye },
            { to: '/console/security-events', label: 'security_events.title', icon: IconShieldLock },
        ],
    },
];
