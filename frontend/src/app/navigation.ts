import { IconChartBar, IconFilePlus, IconFiles } from '@tabler/icons-react';
import type { Role } from '../api/types';

type Icon = typeof IconFiles;

interface Item {
    to: string;
    label: `nav.${'applications' | 'create' | 'statistics'}`;
    icon: Icon;
    /** The role that may open the page, if it is not that of the section. */
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
            { to: '/console/applications', label: 'nav.applications', icon: IconFiles, hasPages: true },
            { to: '/console/new-application', label: 'nav.create', icon: IconFilePlus },
            { to: '/console/statistics', label: 'nav.statistics', icon: IconChartBar },
        ],
    },
];
