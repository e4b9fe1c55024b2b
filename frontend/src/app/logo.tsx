import { Group, Image, Text } from '@mantine/core';
import { useTranslation } from 'react-i18next';
import icon from '../assets/favicon.svg';

export function Logo() {
    const { t } = useTranslation();
    return (
        <Group gap="xs" wrap="nowrap">
            <Image src={icon} w={28} h={28} alt="" />
            <Text fw={700} size="lg" translate="no">
                {t('app.name')}
            </Text>
        </Group>
    );
}
