import { Alert, Button, Group, type MantineColor, Modal, NativeSelect, Stack, Text, Textarea } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useMutation } from '@tanstack/react-query';
import { useTranslation } from 'react-i18next';
import { fieldErrors, useErrorText } from './errors';

/** The duration of an operator's setting, in minutes; 0 means until it is changed. */
const LIFETIMES = [15, 60, 480, 0] as const;

interface Submitted {
    reason: string;
    /** When the setting expires, in RFC 3339; undefined if it does not. */
    expires_at: string | undefined;
}

export interface ReasonRequest {
    title: string;
    hint: string;
    confirm: string;
    color?: MantineColor;
    /** Whether the change can expire. */
    withExpiry?: boolean;
    submit: (submitted: Submitted) => Promise<unknown>;
}

/** Asks for the reason of an operator's change, and shows why the server refused it. Closed if there is no request. */
export function ReasonDialog({ request, onClose }: { request: ReasonRequest | undefined; onClose: () => void }) {
    const { t } = useTranslation();
    return (
        <Modal
            opened={request !== undefined}
            onClose={onClose}
            title={request?.title}
            closeButtonProps={{ 'aria-label': t('action.close') }}
        >
            {request && <ReasonForm request={request} onClose={onClose} />}
        </Modal>
    );
}

function ReasonForm({ request, onClose }: { request: ReasonRequest; onClose: () => void }) {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const form = useForm({
        initialValues: { reason: '', minutes: '60' },
        validate: { reason: (value) => (value.trim() === '' ? t('field.required') : null) },
    });
    const save = useMutation({
        mutationFn: ({ reason, minutes }: typeof form.values) => {
            const lifetime = request.withExpiry ? Number(minutes) : 0;
            const expires_at = lifetime > 0 ? new Date(Date.now() + lifetime * 60_000).toISOString() : undefined;
            return request.submit({ reason: reason.trim(), expires_at });
        },
        onSuccess: onClose,
        onError: (error) => {
            const text = fieldErrors(error)['/reason'];
            if (text) form.setFieldError('reason', text);
        },
    });
    return (
        <form onSubmit={form.onSubmit((values) => save.mutate(values))} noValidate>
            <Stack>
                <Text size="sm" c="dimmed">
                    {request.hint}
                </Text>
                {save.isError && (
                    <Alert color="red" role="alert">
                        {errorText(save.error)}
                    </Alert>
                )}
                <Textarea
                    label={t('change.reason')}
                    withAsterisk
                    autosize
                    minRows={2}
                    maxRows={6}
                    data-autofocus
                    {...form.getInputProps('reason')}
                />
                {request.withExpiry && (
                    <NativeSelect
                        label={t('operate.lasts')}
                        data={LIFETIMES.map((minutes) => ({
                            value: String(minutes),
                            label: t(`operate.minutes_${minutes}`),
                        }))}
                        {...form.getInputProps('minutes')}
                    />
                )}
                <Group justify="flex-end">
                    <Button variant="default" onClick={onClose}>
                        {t('action.cancel')}
                    </Button>
                    <Button type="submit" color={request.color} loading={save.isPending}>
                        {request.confirm}
                    </Button>
                </Group>
            </Stack>
        </form>
    );
}
