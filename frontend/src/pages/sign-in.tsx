import { Alert, Button, Card, Center, Group, PasswordInput, Stack, Text, TextInput, Title } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useDocumentTitle } from '@mantine/hooks';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';
import { useTranslation } from 'react-i18next';
import { ApiError } from '../api/problem';
import { LanguageSelect } from '../app/language-select';
import { Logo } from '../app/logo';
import { signIn } from '../session/session';
import { useErrorText } from '../ui/errors';

export function SignInPage() {
    const { t } = useTranslation();
    const errorText = useErrorText();
    const navigate = useNavigate();
    const { next } = useSearch({ from: '/console/sign-in' });
    const [error, setError] = useState<unknown>();
    const [isBusy, setBusy] = useState(false);
    useDocumentTitle(`${t('sign_in.title')} · ${t('app.name')}`);
    const form = useForm({
        mode: 'uncontrolled',
        initialValues: { username: '', password: '' },
        validate: {
            username: (value) => (value.trim() === '' ? t('field.required') : null),
            password: (value) => (value === '' ? t('field.required') : null),
        },
    });

    const submit = form.onSubmit(async ({ username, password }) => {
        setBusy(true);
        setError(undefined);
        try {
            await signIn(username.trim(), password);
            await navigate({ href: next ?? '/console/applications' });
        } catch (cause) {
            setError(cause);
        } finally {
            setBusy(false);
        }
    });

    const isWrong = error instanceof ApiError && error.status === 401;
    return (
        <Center component="main" mih="100vh" p="md">
            <Stack w="100%" maw={400} gap="lg">
                <Group justify="space-between">
                    <Logo />
                    <LanguageSelect />
                </Group>
                <Card component="form" onSubmit={submit} noValidate>
                    <Stack>
                        <div>
                            <Title order={1} size="h3">
                                {t('sign_in.title')}
                            </Title>
                            <Text c="dimmed" size="sm">
                                {t('sign_in.hint')}
                            </Text>
                        </div>
                        {error !== undefined && (
                            <Alert color="red" role="alert">
                                {isWrong ? t('sign_in.wrong') : errorText(error)}
                            </Alert>
                        )}
                        <TextInput
                            label={t('account.username')}
                            autoComplete="username"
                            autoCapitalize="none"
                            spellCheck={false}
                            autoFocus
                            key={form.key('username')}
                            {...form.getInputProps('username')}
                        />
                        <PasswordInput
                            label={t('account.password')}
                            autoComplete="current-password"
                            visibilityToggleButtonProps={{ 'aria-label': t('sign_in.show_password') }}
                            key={form.key('password')}
                            {...form.getInputProps('password')}
                        />
                        <Button type="submit" loading={isBusy} fullWidth mt="xs">
                            {t('sign_in.submit')}
                        </Button>
                    </Stack>
                </Card>
            </Stack>
        </Center>
    );
}
