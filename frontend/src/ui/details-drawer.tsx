import { Drawer } from '@mantine/core';
import type { ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

/** A drawer with the details of a row. Closed if no row is opened. */
export function DetailsDrawer<Opened>(props: {
    title: string | undefined;
    opened: Opened | undefined;
    onClose: () => void;
    size?: 'lg' | 'xl';
    children: (opened: Opened) => ReactNode;
}) {
    const { t } = useTranslation();
    const { opened } = props;
    return (
        <Drawer
            opened={opened !== undefined}
            onClose={props.onClose}
            position="right"
            size={props.size ?? 'lg'}
            title={props.title}
            closeButtonProps={{ 'aria-label': t('action.close') }}
        >
            {opened !== undefined && props.children(opened)}
        </Drawer>
    );
}
